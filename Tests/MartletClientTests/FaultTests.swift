// What the library refuses before anything is sent, since a server could not see what was meant.

internal import MartletClient
internal import ScriptedServer
internal import Testing

@Suite("Faults")
struct FaultTests {
  /// Runs `call`, which must fail with `reason`, and must have asked the server for nothing.
  private func refused(_ reason: String, _ call: (MartletClient) async throws -> Void) async throws {
    try await withClient(script: { _, _ in .json(200, "{}") }) { client, server in
      await #expect(throws: MartletClientError.invalidRequest(reason)) { try await call(client) }
      #expect(server.requests.isEmpty)
    }
  }

  @Test("a rate of a bulk action that JSON cannot write is refused: without it all would change at once")
  func bulkRate() async throws {
    for rate in [Double.infinity, -.infinity, .nan] {
      var options = BulkOptions()
      options.all = true
      options.ratePerSecond = rate
      let asked = options
      try await refused("ratePerSecond is not a finite number") { _ = try await $0.cancelTasks(TaskFilter(), asked) }
      try await refused("ratePerSecond is not a finite number") { client in
        _ = try await client.retryDeadLetters(TaskFilter(), asked)
      }
      try await refused("ratePerSecond is not a finite number") { client in
        _ = try await client.purgeDeadLetters(TaskFilter(), asked)
      }
    }
  }

  @Test("a rate of a queue that JSON cannot write is refused: null would be no limit")
  func queueRate() async throws {
    var changes = QueueChanges()
    changes.ratePerSecond = .value(.nan)
    let asked = changes
    try await refused("ratePerSecond is not a finite number") { _ = try await $0.change(queue: "q", asked) }
  }

  @Test("defaults of a type that JSON cannot write are refused: null would take them away")
  func typeDefaults() async throws {
    let wrong: [(String, @Sendable (inout TypeRules) -> Void)] = [
      ("timeoutSeconds", { $0.timeoutSeconds = .infinity }), ("leaseSeconds", { $0.leaseSeconds = .nan }),
      ("backoff.baseSeconds", { $0.backoff?.baseSeconds = .nan }),
      ("backoff.factor", { $0.backoff?.factor = .infinity }),
      ("backoff.maxSeconds", { $0.backoff?.maxSeconds = .infinity }), ("backoff.jitter", { $0.backoff?.jitter = .nan }),
    ]
    for (name, set) in wrong {
      var rules = TypeRules()
      rules.backoff = NewTask.Backoff()
      set(&rules)
      let asked = rules
      try await refused("\(name) is not a finite number") { _ = try await $0.put(type: "t", asked) }
      var task = NewTask(type: "t")
      (task.backoff, task.timeoutSeconds, task.leaseSeconds) = (rules.backoff, rules.timeoutSeconds, rules.leaseSeconds)
      let submitted = task
      try await refused("\(name) is not a finite number") { _ = try await $0.submit(submitted) }
    }
  }

  @Test("a batch whose tasks belong to different traces is refused: all would get one of them")
  func traceparents() async throws {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    var first = NewTask(type: "a")
    first.traceparent = trace
    var other = first
    other.traceparent = "00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-01"
    let reason = "the tasks of a batch have one traceparent: give all of them the same, or none"
    for tasks in [[first, NewTask(type: "b")], [NewTask(type: "b"), first], [first, other]] {
      try await refused(reason) { _ = try await $0.submit(tasks) }
    }
    let same = [first, first]
    try await withClient(script: { _, _ in .json(201, #"{"data":[]}"#) }) { client, server in
      _ = try await client.submit(same)
      #expect(server.requests.first?.headers["traceparent"] == trace)
    }
  }

  @Test("a schedule whose task carries a trace is refused: the server keeps none")
  func scheduleTrace() async throws {
    var task = NewTask(type: "report")
    task.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    let definition = ScheduleDefinition(name: "n", .every(seconds: 60), task: task)
    let reason = "a schedule's task has no traceparent: each of its tasks begins a trace of its own"
    try await refused(reason) { _ = try await $0.createSchedule(definition) }
    try await refused(reason) { _ = try await $0.putSchedule(definition) }
  }

  @Test(
    "a key of a batch that a header would change or split is refused",
    arguments: ["", " a", "a b", "a\r\nx-evil: 1", "é", String(repeating: "a", count: 256)])
  func batchKey(key: String) async throws {
    try await refused("the idempotency key must be 1 to 255 visible ASCII characters") { client in
      _ = try await client.submit([NewTask(type: "a")], idempotencyKey: key)
    }
  }

  @Test("an empty name in a filter is sent, for the server to refuse: left out it would widen the filter")
  func emptyNames() async throws {
    var filter = TaskFilter()
    filter.types = [""]
    filter.queues = [""]
    let asked = filter
    try await withClient(script: { request, _ in
      request.method == "GET"
        ? .json(200, #"{"data":[],"nextCursor":null}"#) : .json(200, #"{"matched":0,"changed":0}"#)
    }) { client, server in
      _ = try await client.page(asked)
      _ = try await client.purgeDeadLetters(asked)
      #expect(server.requests.map(\.target) == ["/tasks?type=&queue=&limit=50", "/dead-letters/purge"])
      #expect(server.requests.last?.text == #"{"filter":{"type":[""],"queue":[""]}}"#)
    }
  }
}
