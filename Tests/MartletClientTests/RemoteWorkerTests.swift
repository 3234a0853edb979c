// A worker with handlers of its own, from its first request to its last.

internal import Logging
internal import MartletClient
internal import MartletCore
internal import MartletEngine
internal import ScriptedServer
internal import Synchronization
internal import Testing

@Suite(.serialized, .timeLimit(.minutes(10))) struct RemoteWorkerTests {
  struct Resize: TaskHandler {
    struct Payload: Codable { var width: Int }
    static let type = "resize"
    let body: @Sendable (Int, AttemptContext) async throws -> TaskResult

    func problems(in payload: Payload) -> [ValidationProblem] {
      payload.width > 0 ? [] : [ValidationProblem(pointer: "/width", detail: "must be above 0")]
    }

    func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
      try await body(payload.width, context)
    }
  }

  /// A server that gives out these leases, one a request, holds further requests, and notes what is reported.
  private final class Office: Sendable {
    private let leases: [String]
    private let state = Mutex(State())
    let renew: @Sendable (ScriptedRequest) -> ScriptedAnswer
    let reports: AsyncStream<String>
    private let reported: AsyncStream<String>.Continuation

    private struct State {
      var given = 0
      var reports: [String] = []
    }

    init(
      _ leases: [String], renew: @escaping @Sendable (ScriptedRequest) -> ScriptedAnswer = { Leases.renewed($0) }
    ) {
      self.leases = leases
      self.renew = renew
      (reports, reported) = AsyncStream.makeStream()
    }

    var script: ScriptedServer.Script {
      { [self] request, _ in
        switch request.path {
        case "/leases":
          let next = state.withLock { state in
            state.given += 1
            return state.given - 1
          }
          return next < leases.count ? Leases.answer([leases[next]]) : .silence
        case "/leases/renew": return renew(request)
        default:
          let results = (try? JSONScanner.scan(request.body))?["results"]?.elements ?? []
          for result in results { reported.yield(String(decoding: result.bytes, as: UTF8.self)) }
          return Leases.applied(request)
        }
      }
    }
  }

  private static func run(
    _ office: Office, options: RemoteWorker.Options = RemoteWorker.Options(),
    handler: @escaping @Sendable (Int, AttemptContext) async throws -> TaskResult,
    _ body: (RemoteWorker, AsyncStream<String>) async throws -> Void
  ) async throws {
    try await withRealClient(script: office.script) { client, _ in
      let worker = try RemoteWorker(client, handlers: [Resize(body: handler)], options: options, logger: quietLogger)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await worker.work() }
        try await body(worker, office.reports)
        worker.drain()
        try await group.waitForAll()
      }
    }
  }

  @Test func `handlers run as they do inside a server, and their ends are reported`() async throws {
    let payloads = ["1", "2", "3", "4", "-1", "\"x\""]
    // Long, so that none is renewed on the way: a renewal would have their log lines.
    let leases = payloads.enumerated().map { Leases.lease($0 + 1, payload: "{\"width\":\($1)}", lease: 3600) }
    try await Self.run(
      Office(leases),
      handler: { width, context in
        context.log("width \(width)")
        switch width {
        case 1: return try .success(["width": width])
        case 2: throw TaskFailure.permanent("never", type: "NEVER")
        case 3: throw TaskFailure.retry("later", after: .seconds(9))
        default: return .snooze(for: .seconds(60))
        }
      }
    ) { _, reports in
      var texts: [String: String] = [:]
      for await report in reports {
        let lease = try #require(try JSONScanner.scan(Array(report.utf8))["leaseId"]?.string)
        texts[lease] = String(report.drop { $0 != "," }.dropFirst().dropLast())
        if texts.count == payloads.count { break }
      }
      let ends = (1...6).map { texts[Leases.id($0).description] ?? "" }
      #expect(ends[0] == #""outcome":"SUCCESS","result":{"width":1},"logs":["width 1"]"#)
      #expect(
        ends[1]
          == #""outcome":"FAILED","error":{"type":"NEVER","message":"never"},"retryable":false,"logs":["width 2"]"#)
      #expect(
        ends[2]
          == #""outcome":"FAILED","error":{"type":"FAILED","message":"later"},"delaySeconds":9,"logs":["width 3"]"#)
      #expect(ends[3] == #""outcome":"SNOOZED","delaySeconds":60,"logs":["width 4"]"#)
      for end in ends[4...] {
        #expect(end.hasPrefix(#""outcome":"FAILED","error":{"type":"BAD_PAYLOAD","message":"/width must be"#), "\(end)")
        #expect(end.contains(#""retryable":false"#))
      }
    }
  }

  @Test func `a handler is cancelled when the server says so, and the attempt ends CANCELLED`() async throws {
    // Long enough that a busy machine does not lose the lease before its first renewal: then nothing would be reported.
    let office = Office([Leases.lease(1, payload: #"{"width":1}"#, lease: 10)]) {
      Leases.renewed($0, state: "CANCEL_REQUESTED", seconds: 10)
    }
    try await Self.run(
      office,
      handler: { _, _ in
        try await Task.sleep(for: .seconds(600))
        return .done
      }
    ) { _, reports in
      let report = await reports.first { _ in true }
      #expect(report == #"{"leaseId":"\#(Leases.id(1))","outcome":"CANCELLED"}"#)
    }
  }

  @Test func `an attempt whose lease is lost is stopped and not reported`() async throws {
    let (stops, stopped) = AsyncStream<StopCause?>.makeStream()
    let office = Office([Leases.lease(1, payload: #"{"width":1}"#, lease: 15)]) { Leases.renewed($0, state: "LOST") }
    try await Self.run(
      office,
      handler: { _, context in
        do {
          try await Task.sleep(for: .seconds(600))
        } catch {
          stopped.yield(context.stop)
          throw error
        }
        return .done
      }
    ) { worker, reports in
      let cause = await stops.first { _ in true }
      #expect(cause == .leaseLost)
      worker.drain()
    }
  }

  @Test func `draining gives back what outlasts the grace`() async throws {
    let (begins, begun) = AsyncStream<Void>.makeStream()
    var options = RemoteWorker.Options()
    options.shutdownGrace = .milliseconds(50)
    try await Self.run(
      Office([Leases.lease(1, payload: #"{"width":1}"#)]), options: options,
      handler: { _, _ in
        begun.yield()
        try await Task.sleep(for: .seconds(600))
        return .done
      }
    ) { worker, reports in
      _ = await begins.first { _ in true }
      worker.drain()
      let report = await reports.first { _ in true }
      #expect(report == #"{"leaseId":"\#(Leases.id(1))","outcome":"RELEASED"}"#)
    }
  }

  @Test(arguments: [401, 403])
  func `a server that does not let it work ends the worker`(status: Int) async throws {
    try await withRealClient(script: { _, _ in .problem(status, #"{"code":"no","detail":"no"}"#) }) { client, _ in
      let worker = try RemoteWorker(client, handlers: [Resize { _, _ in .done }], logger: quietLogger)
      let error = await #expect(throws: MartletClientError.self) { try await worker.work() }
      guard case .problem(let problem)? = error else { throw Unexpected() }
      #expect(problem.status == status)
    }
  }

  @Test func `a server that is not there yet is waited for`() async throws {
    let calls = Atomic(0)
    let office = Office([Leases.lease(1, payload: #"{"width":1}"#)])
    try await withRealClient(script: { request, number in
      calls.add(1, ordering: .relaxed)
      return number < 2 ? .problem(503, "{}") : office.script(request, number)
    }) { client, _ in
      let worker = try RemoteWorker(client, handlers: [Resize { _, _ in .done }], logger: quietLogger)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await worker.work() }
        _ = await office.reports.first { _ in true }
        worker.drain()
        try await group.waitForAll()
      }
    }
    #expect(calls.load(ordering: .relaxed) >= 4)
  }

  @Test func `a drain ends though the server takes no results any more, and says how many are left`() async throws {
    let (reports, reported) = AsyncStream<Void>.makeStream()
    // By its clock an hour passes in 36 seconds: leases that run out before they are reported would leave nothing to wait for.
    let office = Office((1...3).map { Leases.lease($0, payload: #"{"width":1}"#, lease: 3600) })
    try await withRealClient(script: { request, number in
      guard request.path == "/leases/finish" else { return office.script(request, number) }
      reported.yield()
      return .silence
    }) { client, _ in
      let worker = try RemoteWorker(
        client, registry: HandlerRegistry([Resize { _, _ in .done }]), options: RemoteWorker.Options(),
        logger: quietLogger, clock: QuickClock())
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          let error = await #expect(throws: RemoteWorkerError.self) { try await worker.work() }
          guard case .unreported(let count)? = error else { throw Unexpected() }
          #expect((1...3).contains(count))
        }
        _ = await reports.first { _ in true }
        worker.drain()
        try await group.waitForAll()
      }
    }
  }

  @Test func `what cannot be is refused before anything is sent`() async throws {
    let client = try MartletClient()
    let handler = Resize { _, _ in .done }
    var options = RemoteWorker.Options()
    options.concurrency = 0
    #expect(throws: RemoteWorkerError.self) { try RemoteWorker(client, handlers: [handler], options: options) }
    options = RemoteWorker.Options()
    options.queues = []
    #expect(throws: RemoteWorkerError.self) { try RemoteWorker(client, handlers: [handler], options: options) }
    options.queues = ["a b"]
    #expect(throws: RemoteWorkerError.self) { try RemoteWorker(client, handlers: [handler], options: options) }
    #expect(throws: RemoteWorkerError.self) { try RemoteWorker(client, handlers: []) }
    #expect(throws: RemoteWorkerError.self) { try RemoteWorker(client, handlers: [handler, handler]) }
    try await client.shutdown()
  }
}

/// A hundred times as fast as time.
private struct QuickClock: EngineClock {
  private let clock = SystemClock()

  var now: MonotonicTime { MonotonicTime(nanoseconds: clock.now.nanoseconds * 100) }

  func sleep(until deadline: MonotonicTime) async throws {
    try await clock.sleep(until: MonotonicTime(nanoseconds: deadline.nanoseconds / 100))
  }
}

/// On real time: a worker lives by its clock.
private func withRealClient(
  script: @escaping ScriptedServer.Script, _ body: (MartletClient, ScriptedServer) async throws -> Void
) async throws {
  try await ScriptedServer.serving(script) { server in
    try await MartletClient.withClient(server: server.address) { client in try await body(client, server) }
  }
}
