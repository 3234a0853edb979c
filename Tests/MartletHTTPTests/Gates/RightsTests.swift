// Who may do what: every role on every route, against the contract's own words.

internal import HTTPTypes
internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

@Suite struct RightsTests {
  /// API.md §2, §3 and §5, call by call, also those that are still to come. The letters are those who may: viewer, producer,
  /// worker, operator, admin; `*` is everybody.
  static let contract: [String: String] = [
    "POST /tasks": "pa", "POST /tasks/batch": "pa",
    "GET /tasks": "vpoa", "GET /tasks/{id}": "vpoa", "GET /tasks/{id}/attempts": "vpoa",
    "GET /tasks/{id}/events": "vpoa", "GET /tasks/{id}/explain": "vpoa", "GET /graphs/{graphId}": "vpoa",
    "GET /dead-letters": "vpoa", "GET /queues": "vpoa", "GET /queues/{queue}": "vpoa", "GET /types": "vpoa",
    "GET /types/{type}": "vpoa", "GET /workers": "vpoa", "GET /schedules": "vpoa", "GET /schedules/{name}": "vpoa",
    "GET /stats": "vpoa", "GET /notifications": "vpoa", "GET /events/stream": "vpoa", "GET /bulk/{bulkId}": "vpoa",
    "GET /bulk": "vpoa",
    "GET /metrics": "vpoa",
    "POST /tasks/{id}/cancel": "poa",
    "PATCH /tasks/{id}": "oa", "POST /tasks/{id}/retry": "oa", "POST /tasks/{id}/replay": "oa",
    "POST /tasks/cancel": "oa", "POST /dead-letters/retry": "oa", "POST /dead-letters/purge": "oa",
    "POST /bulk/{bulkId}/stop": "oa",
    "PATCH /queues/{queue}": "oa",
    "PUT /types/{type}": "oa", "POST /schedules": "oa", "PUT /schedules/{name}": "oa",
    "DELETE /schedules/{name}": "oa", "POST /schedules/{name}/trigger": "oa",
    "POST /notifications/{id}/resend": "oa",
    "POST /leases": "wa", "POST /leases/renew": "wa", "POST /leases/finish": "wa",
    "GET /settings": "a", "PATCH /settings": "a", "GET /audit": "a", "POST /api-keys": "a", "GET /api-keys": "a",
    "DELETE /api-keys/{id}": "a", "GET /settings/revisions": "a", "POST /settings/revert": "a",
    "GET /health/live": "*", "GET /health/ready": "*", "GET /version": "*", "GET /openapi.json": "*",
    "GET /docs": "*", "GET /docs/{file}": "*", "GET /": "*",
  ]

  static let letters: [(Role, Character)] = [
    (.viewer, "v"), (.producer, "p"), (.worker, "w"), (.operator, "o"), (.admin, "a"),
  ]

  @Test func `each role may call the routes that the contract gives it, and no others`() throws {
    #expect(Set(Self.letters.map(\.0)) == Set(Role.allCases))
    // What a parameter is called does not matter.
    let contract = Dictionary(uniqueKeysWithValues: Self.contract.map { (Self.filled($0.key), $0.value) })
    for route in RouteTable.all {
      let name = "\(route.method.rawValue) \(route.path)"
      let allowed = try #require(contract[Self.filled(name)], "the contract has no \(name)")
      for (role, letter) in Self.letters {
        let credential = Credential(actor: "key:test", roles: [role])
        let isAllowed = allowed == "*" || allowed.contains(letter)
        #expect(credential.has(route.right) == isAllowed, "\(role.rawValue) on \(name)")
      }
    }
  }

  private static func filled(_ path: String) -> String {
    path.replacing(/\{[^}]*\}/, with: "nonsense")
  }

  @Test func `without a role only open routes are there`() {
    for right in Right.allCases {
      #expect(Credential(actor: "token:x", roles: []).has(right) == (right == .open))
      #expect(Credential.nobody.has(right) == (right == .open))
      #expect(Credential.unguarded.has(right))
    }
  }

  @Test func `roles add up`() {
    let both = Credential(actor: "key:x", roles: [.worker, .producer])
    #expect(both.has(.lease) && both.has(.submit) && both.has(.read))
    #expect(!both.has(.operate) && !both.has(.administer))
  }

  @Test func `bound to queues, no role has a say over the whole installation`() async throws {
    let book = MemoryAPIKeyBook()
    let keys = Role.allCases.map { ($0, book.add([$0.rawValue], queues: ["*"])) }
    try await HTTPHarness.run(configure: { $0.auth = AuthConfiguration(apiKeys: true) }, apiKeys: book) { harness in
      for route in RouteTable.all {
        for (role, key) in keys {
          let headers = [("X-API-Key", key)]
          let reply = try await harness.send(route.method.rawValue, Self.filled(route.path), headers: headers)
          let has = Credential(actor: "key:test", roles: [role]).has(route.right) && !route.right.isOfInstallation
          // Who leases without naming queues is refused by the call itself.
          if has, route.right == .lease { continue }
          #expect((reply.status == 403) != has, "\(role.rawValue) \(route.method) \(route.path): \(reply.text)")
        }
      }
    }
  }

  @Test func `over HTTP each role is let in or kept out as the table says`() async throws {
    let book = MemoryAPIKeyBook()
    let keys = Role.allCases.map { ($0, book.add([$0.rawValue])) }
    // Guesses are counted too, and here there are many.
    let auth = AuthConfiguration(apiKeys: true, failedAttempts: RateLimit(perSecond: 1, burst: 100_000))
    try await HTTPHarness.run(configure: { $0.auth = auth }, apiKeys: book) { harness in
      for route in RouteTable.all {
        let target = Self.filled(route.path)
        for (role, key) in keys {
          let reply = try await harness.send(route.method.rawValue, target, headers: [("X-API-Key", key)])
          let isAllowed = Credential(actor: "key:test", roles: [role]).has(route.right)
          #expect((reply.status == 403) != isAllowed, "\(role.rawValue) \(route.method) \(target): \(reply.text)")
          #expect(reply.status != 401 && reply.status < 500)
          if !isAllowed { try reply.expectProblem(403, "forbidden") }
        }
        for headers in [[], [("X-API-Key", APIKeyText.make())], [("Authorization", "Bearer nonsense")]] {
          let stranger = try await harness.send(route.method.rawValue, target, headers: headers)
          #expect((stranger.status == 401) == (route.right != .open), "\(route.method) \(target) \(headers)")
        }
      }
    }
  }
}
