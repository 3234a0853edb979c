// Every way of steering a single task, in every state: what the contract's table says, and 409 elsewhere.

internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite struct SteerMatrixTests {
  /// The status after it, or nil for 409. A replay is told by the new task's.
  private static let contract: [TaskStatus: (cancel: String?, retry: String?, replay: String?, patch: String?)] = [
    .pending: ("CANCELLED", nil, nil, "PENDING"), .ready: ("CANCELLED", nil, nil, "READY"),
    .running: ("RUNNING", nil, nil, nil), .retry: ("CANCELLED", "READY", nil, "RETRY"),
    .success: (nil, nil, "READY", nil), .dead: (nil, "READY", "READY", nil),
    .cancelled: ("CANCELLED", "READY", "READY", nil),
  ]

  private func bring(_ harness: HTTPHarness, to status: TaskStatus) async throws -> String {
    let later = status == .pending ? #","delaySeconds":3600"# : ""
    let body =
      #"{"type":"resize","retries":2,"backoff":{"baseSeconds":60},"expiresAt":"2030-01-01T00:00:00Z"\#(later)}"#
    let id = try await harness.submitted(body)
    switch status {
    case .pending, .ready: break
    case .running: try await harness.attempt(id, nil)
    case .retry: try await harness.attempt(id, .failed)
    case .success: try await harness.attempt(id, .success)
    case .dead: try await harness.attempt(id, .failed(.stub, .giveUp(.nonRetryable)))
    case .cancelled: _ = try await harness.act("/tasks/\(id)/cancel")
    }
    #expect(try await harness.get("/tasks/\(id)").string("status") == status.rawValue)
    return id
  }

  @Test(arguments: TaskStatus.allCases)
  func `each act does in each state what the contract says, and is 409 where the state forbids it`(
    status: TaskStatus
  ) async throws {
    let row = try #require(Self.contract[status])
    let acts: [(String, String?)] = [
      ("cancel", row.cancel), ("retry", row.retry), ("replay", row.replay), ("patch", row.patch),
    ]
    for (act, expected) in acts {
      try await HTTPHarness.run { harness in
        let id = try await bring(harness, to: status)
        let events = try await harness.get("/tasks/\(id)/events").data.count
        let audit = try await harness.get("/audit").data.count
        let reply =
          act == "patch"
          ? try await harness.patch("/tasks/\(id)", #"{"priority":8,"tags":["x"],"metadata":{"a":"b"}}"#)
          : try await harness.act("/tasks/\(id)/\(act)")
        guard let expected else {
          try reply.expectProblem(409, "invalid-state")
          #expect(try reply.string("detail").contains(status.rawValue))
          #expect(try await harness.get("/tasks/\(id)").string("status") == status.rawValue)
          #expect(try await harness.get("/tasks/\(id)/events").data.count == events)
          #expect(try await harness.get("/audit").data.count == audit)
          return
        }
        #expect(reply.status == (act == "replay" ? 201 : 200), "\(act): \(reply.text)")
        #expect(try reply.string("status") == expected, "\(act)")
        let isNothing = act == "cancel" && status == .cancelled
        #expect(try await harness.get("/audit").data.count == audit + (isNothing ? 0 : 1))
        switch act {
        case "cancel": #expect(try reply.object["cancelRequested"] as? Bool == (status == .running))
        case "retry":
          #expect(try reply.isNull("expiresAt"))
          #expect(try reply.isNull("reason"))
          #expect(try reply.int("retriesLeft") == 3)
        case "replay":
          #expect(try reply.string("replayOf") == id)
          #expect(try reply.isNull("expiresAt"))
        default:
          #expect(try reply.int("priority") == 8)
          #expect(try reply.raw("tags") == #"["x"]"#)
        }
      }
    }
  }

  @Test func `a waiting task is run now by a patch of its time, and later by another`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await bring(harness, to: .pending)
      let now = harness.time.now
      let run = try await harness.patch("/tasks/\(id)", #"{"availableAt":"\#(now)"}"#)
      #expect(try run.string("status") == "READY")
      let later = try await harness.patch("/tasks/\(id)", #"{"availableAt":"\#(now + .seconds(60))"}"#)
      #expect(try later.string("status") == "PENDING")
      #expect(try await harness.get("/tasks/\(id)/explain").string("nextAttemptAt") == (now + .seconds(60)).description)
    }
  }

  @Test func `a retry waits while what it depends on has not succeeded`() async throws {
    try await HTTPHarness.run { harness in
      let parent = try await harness.submitted()
      let child = try await harness.submitted(#"{"type":"resize","dependencies":["\#(parent)"]}"#)
      _ = try await harness.act("/tasks/\(child)/cancel")
      #expect(try await harness.act("/tasks/\(child)/retry").string("status") == "PENDING")
      // No time makes it run before.
      let patched = try await harness.patch("/tasks/\(child)", #"{"availableAt":"2020-01-01T00:00:00Z"}"#)
      #expect(try patched.string("status") == "PENDING")
      try await harness.attempt(parent, .success)
      #expect(try await harness.get("/tasks/\(child)").string("status") == "READY")
    }
  }
}
