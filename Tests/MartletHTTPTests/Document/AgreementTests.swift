// The router and the API's document agree, both ways: what is served is described, and what is described is served.

internal import HTTPTypes
internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

@Suite struct AgreementTests {
  /// What parameters are called in the path does not matter.
  private static func shape(_ path: String) -> String {
    path.replacing(/\{[^}]*\}/, with: "{}")
  }

  private static let mark = "x-martlet-planned"

  @Test func `every route is described, and every operation that is not still to come is routed`() throws {
    let routes = Set(RouteTable.all.map { "\($0.method.rawValue) \(Self.shape($0.path))" })
    let operations = try Contract.written.get().operations
    let described = operations.filter { $0.description[Self.mark] == nil }.map { "\($0.method) \(Self.shape($0.path))" }
    let planned = operations.filter { $0.description[Self.mark] != nil }.map { "\($0.method) \(Self.shape($0.path))" }
    #expect(routes.subtracting(described).subtracting(planned) == [], "routed, and not in docs/api/openapi.yaml")
    #expect(routes.intersection(planned) == [], "routed: take away x-martlet-planned in docs/api/openapi.yaml")
    #expect(Set(described).subtracting(routes) == [], "described in docs/api/openapi.yaml, and not routed")
    #expect(Set(described + planned).count == operations.count, "one operation for each method and path")
  }

  @Test func `rights, roles and what needs a credential are those of the route`() throws {
    for (route, operation) in try Self.pairs() {
      let description = operation.description
      #expect(description["x-martlet-right"]?.string == String(describing: route.right), "\(operation.name)")
      let roles = Role.allCases.filter { Role.rights[$0]?.contains(route.right) == true && route.right != .open }
      #expect(description["x-martlet-roles"]?.strings ?? [] == roles.map(\.rawValue), "\(operation.name)")
      #expect((description["security"] == .array([])) == (route.right == .open), "\(operation.name)")
    }
  }

  @Test func `query parameters and bodies are those of the route`() throws {
    for (route, operation) in try Self.pairs() {
      let query = operation.parameters.filter { $0["in"]?.string == "query" }
      func names(_ parameters: [JSONTree]) -> Set<String> { Set(parameters.compactMap { $0["name"]?.string }) }
      let named = query.filter { $0[Self.mark] == nil && $0["x-martlet-prefix"] == nil }
      #expect(names(named) == Set(route.query.names), "\(operation.name)")
      #expect(query.allSatisfy { $0[Self.mark] == nil }, "\(operation.name)")
      #expect(query.compactMap { $0["x-martlet-prefix"]?.string }.first == route.query.prefix, "\(operation.name)")
      let path = operation.parameters.filter { $0["in"]?.string == "path" }
      #expect(names(path) == Set(operation.path.matches(of: /\{([^}]*)\}/).map { String($0.1) }), "\(operation.name)")
      let body: Route.Body =
        switch operation.description["requestBody"]?["required"] {
        case .bool(true): .required
        case .bool(false): .optional
        default: .none
        }
      #expect(body == route.body, "\(operation.name)")
    }
  }

  private static func pairs() throws -> [(Route, Contract.Operation)] {
    let operations = try Contract.written.get().operations
    return RouteTable.all.compactMap { route in
      operations.first { $0.method == route.method.rawValue && shape($0.path) == shape(route.path) }.map { (route, $0) }
    }
  }

  @Test func `problem codes and their status are those of the server`() throws {
    let contract = try Contract.written.get()
    let schema = try #require(contract.document["components"]?["schemas"]?["ProblemCode"])
    let planned = Set(schema["x-martlet-planned-codes"]?.strings ?? [])
    #expect(Set(schema["enum"]?.strings ?? []) == Set(Problem.Code.allCases.map(\.rawValue)))
    #expect(
      planned.intersection(Problem.Code.allCases.map(\.rawValue)) == [],
      "take them out of x-martlet-planned-codes, into the enum")
    var told: Set<String> = []
    for operation in contract.operations {
      for (status, response) in operation.description["responses"]?.members ?? [:] {
        for code in contract.resolved(response)?["x-martlet-codes"]?.strings ?? [] {
          told.insert(code)
          if planned.contains(code) { continue }
          let known = try #require(Problem.Code(rawValue: code), "\(operation.name) \(status)")
          #expect("\(known.status)" == status, "\(code) of \(operation.name)")
        }
      }
    }
    // What no path takes belongs to no operation.
    #expect(told == Set(Problem.Code.allCases.map(\.rawValue)).union(planned).subtracting(["method-not-allowed"]))
  }

  @Test func `every reference leads somewhere, and everything is referred to`() throws {
    let contract = try Contract.written.get()
    var used: Set<String> = []
    func walk(_ tree: JSONTree) {
      if let reference = tree["$ref"]?.string {
        used.insert(reference.split(separator: "/").prefix(4).joined(separator: "/"))
        #expect(SchemaValidator(root: contract.document, isClosed: false).target(of: reference) != nil, "\(reference)")
      }
      for value in tree.members.values { walk(value) }
      for value in tree.elements { walk(value) }
    }
    walk(contract.document)
    for (kind, parts) in contract.document["components"]?.members ?? [:] where kind != "securitySchemes" {
      for name in parts.members.keys { #expect(used.contains("#/components/\(kind)/\(name)"), "nobody uses it") }
    }
    let ids = contract.operations.compactMap { $0.description["operationId"]?.string }
    #expect(Set(ids).count == contract.operations.count)
    let tags = Set((contract.document["tags"]?.elements ?? []).compactMap { $0["name"]?.string })
    #expect(Set(contract.operations.flatMap { $0.description["tags"]?.strings ?? [] }) == tags)
  }

  @Test func `what is served has nothing in it that is still to come`() throws {
    let text = String(decoding: try Document.openAPI.get(), as: UTF8.self)
    #expect(!text.contains(#""x-martlet-planned":"#))
    let served = try Contract.served.get()
    #expect(served.operations.count == RouteTable.all.count)
    #expect(served.document["openapi"] == .string("3.1.1"))
  }

  @Test func `every example of a body works as it stands`() async throws {
    let operations = try Contract.served.get().operations
    for operation in operations {
      let content = operation.description["requestBody"]?["content"]?["application/json"]
      let examples = content?["examples"]?.members ?? [:]
      if operation.description["requestBody"]?["required"] == .bool(true) { #expect(!examples.isEmpty) }
      for (name, example) in examples {
        try await HTTPHarness.run { harness in
          let waiting = try await harness.submitted(#"{"type":"resize","delaySeconds":60}"#)
          let body = try #require(example["value"]).json
          let reply = try await harness.send(
            operation.method, operation.path.replacing("{id}", with: waiting).replacing(/\{[a-zA-Z]+\}/, with: "mail"),
            headers: [("Content-Type", "application/json")], body: body)
          #expect((200..<300).contains(reply.status), "\(operation.name), \(name): \(reply.text)")
        }
      }
    }
  }
}
