// Holds what goes over the wire against the API's document. `HTTPHarness.send` asks it about each request and its answer, so that
// every test of the API is a test of the document, too.

internal import Foundation
internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

struct Contract: Sendable {
  /// What the server serves.
  let document: JSONTree
  let operations: [Operation]
  private let validator: SchemaValidator
  private let requestValidator: SchemaValidator

  static let served: Result<Contract, any Error> = Result {
    Contract(document: try JSONTree(json: try Document.openAPI.get()), written: try written.get().document)
  }

  /// As docs/api/openapi.yaml has it, with what is still to come.
  static let written: Result<Contract, any Error> = Result {
    Contract(document: try JSONTree(json: try YAMLDocument(Document.source).json(leavingOutPlanned: false)))
  }

  /// - Parameter written: by what requests are judged: fields that are still to come may be `null` already.
  init(document: JSONTree, written: JSONTree? = nil) {
    self.document = document
    operations = Self.operations(of: document)
    validator = SchemaValidator(root: document, isClosed: true)
    requestValidator = SchemaValidator(root: written ?? document, isClosed: false)
  }

  struct Operation: Sendable {
    let method: String
    let path: String
    let description: JSONTree
    /// Its own, and those of its path.
    let parameters: [JSONTree]

    var name: String { "\(method) \(path)" }
  }

  private static func operations(of document: JSONTree) -> [Operation] {
    let validator = SchemaValidator(root: document, isClosed: false)
    return (document["paths"]?.members ?? [:]).flatMap { path, item in
      item.members.filter { $0.key != "parameters" }.map { method, operation in
        let parameters = (operation["parameters"]?.elements ?? []) + (item["parameters"]?.elements ?? [])
        return Operation(
          method: method.uppercased(), path: path, description: operation,
          parameters: parameters.compactMap { validator.resolved($0).first })
      }
    }
  }

  func resolved(_ node: JSONTree) -> JSONTree? { validator.resolved(node).first }

  // MARK: Over the wire

  struct Exchange: Sendable {
    var method: String
    var target: String
    var body: [UInt8]?
    var reply: Reply
  }

  /// What is not as the document has it.
  func faults(_ exchange: Exchange) -> [String] {
    let reply = exchange.reply
    if reply.status >= 400, let faults = problemFaults(reply), !faults.isEmpty { return faults }
    let segments = String(exchange.target.prefix { $0 != "?" }).split(separator: "/", omittingEmptySubsequences: false)
    let method = exchange.method == "HEAD" ? "GET" : exchange.method
    guard let operation = operation(method, segments) else {
      return [400, 403, 404, 405, 413, 503].contains(reply.status) ? [] : ["it is not in the document: \(reply.status)"]
    }
    guard let response = operation.description["responses"]?["\(reply.status)"].flatMap(resolved) else {
      return ["the document has no \(reply.status) for \(operation.name)"]
    }
    var faults = headerFaults(reply, response)
    if exchange.method != "HEAD" { faults += bodyFaults(reply, response) }
    if (200..<300).contains(reply.status) {
      faults += parameterFaults(operation, exchange.target) + requestFaults(operation, exchange.body)
    }
    return faults
  }

  private func operation(_ method: String, _ segments: [Substring]) -> Operation? {
    operations.filter { operation in
      let pattern = operation.path.split(separator: "/", omittingEmptySubsequences: false)
      return operation.method == method && pattern.count == segments.count
        && zip(pattern, segments).allSatisfy { $0 == $1 || ($0.hasPrefix("{") && !$1.isEmpty) }
    }.min { $0.path.filter { $0 == "{" }.count < $1.path.filter { $0 == "{" }.count }
  }

  /// Nil where it is none; every refusal is one, but that of a node that is not ready.
  private func problemFaults(_ reply: Reply) -> [String]? {
    guard reply.header("content-type") == "application/problem+json", !reply.bytes.isEmpty else { return nil }
    guard let problem = try? JSONTree(json: reply.bytes), let schema = document["components"]?["schemas"]?["Problem"]
    else { return ["the problem is no JSON"] }
    return validator.faults(of: problem, by: schema)
  }

  private func headerFaults(_ reply: Reply, _ response: JSONTree) -> [String] {
    let documented = (response["headers"]?.members ?? [:]).compactMapValues(resolved)
    var faults: [String] = []
    for (name, header) in documented {
      guard let value = reply.header(name) else {
        if header["required"] == .bool(true) { faults.append("the header \(name) is missing") }
        continue
      }
      let schema = header["schema"] ?? .null
      let tree: JSONTree = schema["type"]?.string == "integer" ? .number(value) : .string(value)
      faults += validator.faults(of: tree, by: schema).map { "the header \(name): \($0)" }
    }
    let plain: Set = [
      "content-type", "content-length", "date", "connection", "allow", "cache-control", "x-content-type-options",
    ]
    let known = plain.union(documented.keys.map { $0.lowercased() })
    return faults + reply.headers.keys.filter { !known.contains($0) }.map { "the header \($0) is not in the document" }
  }

  private func bodyFaults(_ reply: Reply, _ response: JSONTree) -> [String] {
    if reply.bytes.isEmpty, response["content"] == nil { return [] }
    let type = String((reply.header("content-type") ?? "").prefix { $0 != ";" })
    guard let content = response["content"]?[type], let schema = content["schema"] else {
      return ["the document has no \(type) for this answer"]
    }
    var codes: [String] = []
    if type.hasSuffix("problem+json"), let code = (try? JSONTree(json: reply.bytes))?["code"]?.string,
      response["x-martlet-codes"]?.strings.contains(code) != true
    {
      codes = ["the document has no code \(code) for this answer"]
    }
    guard type.hasSuffix("json"), reply.bytes.count < 4 << 20 else { return codes }
    guard let tree = try? JSONTree(json: reply.bytes) else { return ["the answer is no JSON"] }
    return codes + validator.faults(of: tree, by: schema)
  }

  /// What was accepted has to be right by the document.
  private func requestFaults(_ operation: Operation, _ body: [UInt8]?) -> [String] {
    guard let body, body.count < 1 << 20, let tree = try? JSONTree(json: body),
      let schema = operation.description["requestBody"]?["content"]?["application/json"]?["schema"]
    else { return [] }
    let hasEntries = requestValidator.resolved(schema).first?["properties"]?.members.values.contains {
      $0["x-martlet-entries"] == .bool(true)
    }
    guard hasEntries != true else { return [] }
    return requestValidator.faults(of: tree, by: schema).map { "it was accepted, and by the document \($0)" }
  }

  private func parameterFaults(_ operation: Operation, _ target: String) -> [String] {
    guard let query = target.split(separator: "?", maxSplits: 1).dropFirst().first else { return [] }
    return query.split(separator: "&").flatMap { pair -> [String] in
      let sides = pair.split(separator: "=", maxSplits: 1).map { side in
        side.replacing("+", with: " ").removingPercentEncoding ?? ""
      }
      let (name, value) = (sides[0], sides.count > 1 ? sides[1] : "")
      let parameter = operation.parameters.first { parameter in
        parameter["name"]?.string == name || parameter["x-martlet-prefix"]?.string.map { name.hasPrefix($0) } == true
      }
      guard let parameter, let schema = parameter["schema"].flatMap(resolved) else {
        return ["it was accepted with \(name), which is not in the document"]
      }
      let tree: JSONTree =
        switch schema["type"]?.string {
        case "array":
          .array(value.split(separator: ",", omittingEmptySubsequences: false).map { .string(String($0)) })
        case "integer", "number": .number(value)
        default: .string(value)
        }
      // The '+' of an offset may have come out as a space.
      let offset = schema["format"]?.string == "date-time" ? JSONTree.string(value.replacing(" ", with: "+")) : tree
      return requestValidator.faults(of: offset, by: schema).map { "it was accepted with \(name), which \($0)" }
    }
  }
}
