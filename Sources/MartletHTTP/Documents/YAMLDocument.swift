// From YAML to JSON, in the order in which it is written. Only what JSON has too is taken: no merge keys, no tags of one's own.

internal import MartletCore
internal import Yams

/// The document that is part of the program cannot be read: a mistake that tests find.
struct DocumentError: Error, CustomStringConvertible {
  let description: String
}

struct YAMLDocument {
  private let root: Node

  init(_ text: String) throws(DocumentError) {
    do {
      guard let node = try Yams.compose(yaml: text) else { throw DocumentError(description: "it is empty") }
      root = node
    } catch {
      throw DocumentError(description: "\(error)")
    }
  }

  /// - Parameter leavingOutPlanned: without objects that are marked `x-martlet-planned: true`, and paths that have nothing left.
  func json(leavingOutPlanned: Bool) throws(DocumentError) -> [UInt8] {
    var writer = JSONWriter(capacity: 256 * 1024)
    try write(leavingOutPlanned ? Self.withoutPlanned(root) : root, to: &writer)
    return writer.bytes
  }

  private func write(_ node: Node, to json: inout JSONWriter) throws(DocumentError) {
    var failure: DocumentError?
    func attempt(_ node: Node, _ json: inout JSONWriter) {
      do throws(DocumentError) { try write(node, to: &json) } catch { failure = failure ?? error }
    }
    switch node {
    case .mapping(let mapping):
      json.object { json in
        for (name, value) in mapping {
          json.name(name.scalar?.string ?? "")
          attempt(value, &json)
        }
      }
    case .sequence(let sequence):
      json.array(of: sequence) { attempt($1, &$0) }
    case .scalar(let scalar):
      try write(scalar, node, to: &json)
    case .alias:
      throw DocumentError(description: "it has an alias")
    }
    if let failure { throw failure }
  }

  private func write(_ scalar: Node.Scalar, _ node: Node, to json: inout JSONWriter) throws(DocumentError) {
    // What is quoted or folded is a text, whatever it looks like.
    guard scalar.style == .plain || scalar.style == .any else { return json.string(scalar.string) }
    switch scalar.string {
    case "true": json.bool(true)
    case "false": json.bool(false)
    case "null", "~", "": json.null()
    default:
      if let number = try? JSONScanner.scan(Array(scalar.string.utf8)), number.kind == .number {
        json.raw(number.bytes)
      } else {
        json.string(scalar.string)
      }
    }
  }

  private static func withoutPlanned(_ node: Node) -> Node {
    switch node {
    case .mapping(let mapping):
      let kept = mapping.compactMap { name, value -> (Node, Node)? in
        if isPlanned(value) { return nil }
        let value = withoutPlanned(value)
        let isEmptyPath = name.scalar?.string.hasPrefix("/") == true && hasNoOperation(value)
        return isEmptyPath ? nil : (name, value)
      }
      return .mapping(Node.Mapping(kept))
    case .sequence(let sequence):
      return .sequence(Node.Sequence(sequence.filter { !isPlanned($0) }.map(withoutPlanned)))
    case .scalar, .alias:
      return node
    }
  }

  private static func isPlanned(_ node: Node) -> Bool {
    node.mapping?["x-martlet-planned"]?.scalar?.string == "true"
  }

  private static func hasNoOperation(_ path: Node) -> Bool {
    path.mapping?.allSatisfy { $0.key.scalar?.string == "parameters" } == true
  }
}
