// What a scrape asks of the store, what it says while the store fails or stands still, and the listener that has nothing but it and
// health.

internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Synchronization
internal import Testing

@testable internal import MartletHTTP

@Suite struct ScrapeTests {
  @Test func `a scrape reads the store's counts, and no task, however many there are`() async throws {
    let calls = Mutex<Set<StoreOperation>>([])
    try await HTTPHarness.run(wrap: { store in
      FaultyStore(store) { operation, _ in
        calls.withLock { _ = $0.insert(operation) }
        return nil
      }
    }) { harness in
      for _ in 1...3 { _ = try await harness.submitted() }
      calls.withLock { $0 = [] }
      let text = try await harness.get("/metrics").text
      #expect(text.contains(#"martlet_queue_tasks{queue="default",status="READY"} 3"#))
      let counts: Set<StoreOperation> = [
        .check, .counts, .oldestReady, .queueSettings, .workers, .sinks, .waitingNotices,
      ]
      let duties: Set<StoreOperation> = [.now, .typeSettings]
      #expect(calls.withLock { $0.subtracting(duties) } == counts)
    }
  }

  @Test func `scrapes at the same time share the store's answer`() async throws {
    let gate = Gateway()
    try await HTTPHarness.run(wrap: { store in
      FaultyStore(
        store,
        pause: { operation in
          if operation == .counts { await gate.pass() }
        }, fault: { _, _ in nil })
    }) { harness in
      try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 1...12 { group.addTask { try await harness.get("/metrics").status } }
        await gate.open(once: 1)
        for try await status in group { #expect(status == 200) }
      }
      #expect(gate.crowd.most == 1, "one call at a time")
    }
  }

  @Test func `a store that cannot be asked is said to be down, and what was counted before stays`() async throws {
    let isDown = Mutex(false)
    try await HTTPHarness.run(
      wrap: { store in
        FaultyStore(store) { operation, _ in isDown.withLock(\.self) && operation == .oldestReady ? .before : nil }
      }, engineClock: PatientClock()
    ) { harness in
      _ = try await harness.submitted()
      #expect(try await harness.get("/metrics").text.contains("\nmartlet_store_up 1\n"))
      isDown.withLock { $0 = true }
      let reply = try await harness.get("/metrics")
      #expect(reply.status == 200)
      #expect(reply.text.contains("\nmartlet_store_up 0\n"))
      #expect(reply.text.contains(#"martlet_queue_tasks{queue="default",status="READY"} 1"#))
      #expect(reply.text.contains(#"martlet_store_errors_total{operation="oldest-ready"} 1"#))
      isDown.withLock { $0 = false }
      #expect(try await harness.get("/metrics").text.contains("\nmartlet_store_up 1\n"))
    }
  }

  @Test func `a store that gives no answer keeps no scrape from being answered, and is said to be down`() async throws {
    let gate = Gateway()
    try await HTTPHarness.run(
      wrap: { store in
        FaultyStore(
          store,
          pause: { operation in
            if operation == .counts { await gate.pass() }
          }, fault: { _, _ in nil })
      }, engineClock: QuickClock()
    ) { harness in
      for _ in 1...2 {
        let reply = try await harness.get("/metrics")
        #expect(reply.status == 200)
        #expect(reply.text.contains("\nmartlet_store_up 0\n"))
      }
      await gate.open(once: 1)
    }
  }

  @Test func `READY tasks that no live worker takes are told by queue and type`() async throws {
    try await HTTPHarness.run { harness in
      try await harness.store.register(.stub())  // resize, in default
      var remote = WorkerRecord.stub("remote-1")
      (remote.types, remote.queues) = (["thumbnail"], [ClaimRequest.allQueues])
      try await harness.store.register(remote)
      for body in [
        #"{"type":"resize"}"#, #"{"type":"resize","queue":"mail"}"#, #"{"type":"resize","queue":"mail"}"#,
        #"{"type":"thumbnail","queue":"mail"}"#, #"{"type":"misspelt"}"#, #"{"type":"later","delaySeconds":60}"#,
      ] {
        _ = try await harness.submitted(body)
      }
      let lines = try await harness.get("/metrics").text.split(separator: "\n").filter {
        $0.hasPrefix("martlet_tasks_without_worker{")
      }
      #expect(
        lines == [
          #"martlet_tasks_without_worker{queue="default",type="misspelt"} 1"#,
          #"martlet_tasks_without_worker{queue="mail",type="resize"} 2"#,
        ])
    }
  }

  @Test func `a flood of types and queues makes no more series than there is room for`() async throws {
    try await HTTPHarness.run { harness in
      for page in 0..<4 {
        let tasks = (0..<1000).map { #"{"type":"t\#(page * 1000 + $0)","queue":"q\#(page * 1000 + $0)"}"# }
        let reply = try await harness.post("/tasks/batch", #"{"tasks":[\#(tasks.joined(separator: ","))]}"#)
        try #require(reply.status == 201)
      }
      var sizes: [Int] = []
      for _ in 1...3 {
        let names = try await harness.get("/metrics").text.split(separator: "\n").compactMap {
          $0.hasPrefix("#") ? nil : $0.prefix { $0 != "{" && $0 != " " }
        }
        let series = Dictionary(grouping: names) { $0 }.mapValues(\.count)
        #expect(series["martlet_tasks_submitted_total"] == 1001)
        #expect(series["martlet_queue_oldest_ready_seconds"] == 501)
        #expect(series["martlet_queue_tasks"] == 501 * TaskStatus.allCases.count)
        #expect(series["martlet_tasks_without_worker"] == 101)
        sizes.append(names.count)
      }
      #expect(sizes[1] - sizes[0] < 100 && sizes[2] - sizes[1] < 100, "the answer does not grow: \(sizes)")
    }
  }

  // MARK: The listener for health and metrics alone

  @Test func `a listener for watching has health, version and metrics, and nothing else`() async throws {
    try await HTTPHarness.run(configure: { $0.purpose = .watching }) { harness in
      for path in ["/health/live", "/version", "/metrics"] {
        #expect(try await harness.get(path).status == 200, "\(path)")
      }
      // A machine that is too busy for an answer within a second is told to be not ready.
      #expect([200, 503].contains(try await harness.get("/health/ready").status))
      let paths = Set(RouteTable.all.map { $0.path.replacing(/\{[^}]*\}/, with: "x") })
        .subtracting(["/health/live", "/health/ready", "/version", "/metrics"])
      #expect(paths.count > 20)
      // Raw, since the document of the API knows nothing of such answers.
      for head in paths.map({ "GET \($0)" }) + ["POST /tasks"] {
        let reply = try await harness.rawOne("\(head) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        try reply.expectProblem(404, "not-found")
      }
    }
  }

  @Test func `a listener for watching asks for the same credentials and the same host as the API`() async throws {
    let auth = AuthConfiguration(jwt: .init(secret: Mint.secret))
    try await HTTPHarness.run(configure: { ($0.purpose, $0.auth) = (.watching, auth) }) { harness in
      #expect([200, 503].contains(try await harness.get("/health/ready").status))
      try await harness.get("/metrics").expectProblem(401, "unauthenticated")
      let viewer = [("Authorization", "Bearer \(try Mint.hs256.token(Mint.claims(roles: #""viewer""#)))")]
      #expect(try await harness.get("/metrics", headers: viewer).status == 200)
    }
    try await HTTPHarness.run(configure: { $0.purpose = .watching }) { harness in
      let reply = try await harness.rawOne("GET /metrics HTTP/1.1\r\nHost: martlet.example.com\r\n\r\n")
      try reply.expectProblem(403, "forbidden-host")
    }
  }
}

/// Calls stand before it until it is opened.
private actor Gateway {
  private var isOpen = false
  private var waiting: [CheckedContinuation<Void, Never>] = []
  private let counted = Mutex((most: 0, now: 0))

  /// How many stood before it at once, at most and now.
  nonisolated var crowd: (most: Int, now: Int) { counted.withLock(\.self) }

  func pass() async {
    counted.withLock { $0 = (max($0.most, $0.now + 1), $0.now + 1) }
    defer { counted.withLock { $0.now -= 1 } }
    if !isOpen { await withCheckedContinuation { waiting.append($0) } }
  }

  /// As soon as so many stand before it, for good.
  func open(once many: Int) async {
    while crowd.now < many { await Task.yield() }
    isOpen = true
    for continuation in waiting { continuation.resume() }
    waiting = []
  }
}

/// The system's clock, but that no patience ends: a store that answers is up, however long the machine takes over it.
private struct PatientClock: EngineClock {
  private let clock = SystemClock()

  var now: MonotonicTime { clock.now }

  func sleep(until deadline: MonotonicTime) async throws {
    // A scrape waits for five seconds.
    let isPatience = deadline - now > .seconds(4)
    try await clock.sleep(until: isPatience ? now + .seconds(86_400) : deadline)
  }
}

/// Time that passes a hundred times as fast.
private struct QuickClock: EngineClock {
  private let clock = SystemClock()

  var now: MonotonicTime { MonotonicTime(nanoseconds: clock.now.nanoseconds &* 100) }

  func sleep(until deadline: MonotonicTime) async throws {
    try await clock.sleep(until: MonotonicTime(nanoseconds: deadline.nanoseconds / 100))
  }
}
