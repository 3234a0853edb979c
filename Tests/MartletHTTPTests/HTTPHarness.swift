// A real server on a free port over the reference store, and a client for it. Every test of this folder runs in one of
// its own.

internal import AsyncHTTPClient
internal import Foundation
internal import Logging
internal import MartletCore
internal import MartletEngine
internal import MartletHTTP
internal import MartletTestKit
internal import Metrics
internal import NIOCore
internal import NIOHTTP1
internal import ServiceLifecycle
internal import Synchronization
internal import Testing

struct HTTPHarness: Sendable {
  let host: String
  let port: Int
  let store: any TaskStore
  let time: ManualTime
  let tasks: TaskService
  let schedules: ScheduleService
  let registry: PrometheusRegistry
  /// Begins the graceful shutdown.
  let shutDown: @Sendable () async -> Void

  /// Serves while `body` runs, then drains.
  static func run(
    configure: (inout HTTPConfiguration) -> Void = { _ in }, handlers: [any TaskHandler] = [],
    wrap: (any TaskStore) -> any TaskStore = { $0 }, renderMetrics: (@Sendable () async throws -> String)? = nil,
    apiKeys: (any APIKeyBook)? = nil, clock: any EngineClock = SystemClock(),
    engineClock: any EngineClock = EndlessMinutes(), streamKept: Duration? = nil, spans: SpanSource? = nil,
    _ body: (HTTPHarness) async throws -> Void
  ) async throws {
    var configuration = HTTPConfiguration(
      port: 0, version: "1.2.3-test", bodyDeadline: .seconds(300), idleTimeout: .seconds(300),
      lingerTime: .milliseconds(100), handshakeTime: .seconds(120))
    configure(&configuration)
    let time = ManualTime()
    let store = wrap(MemoryStore(clock: time.clock))
    let registry = PrometheusRegistry()
    let engine = try engine(
      over: store, handlers: handlers, registry: registry, clock: engineClock, streamKept: streamKept,
      spans: spans)
    let listening = AsyncStream<(String, Int)>.makeStream()
    let server = HTTPServer(
      configuration: configuration, tasks: engine.service, leases: engine.leases, schedules: engine.schedules,
      apiKeys: apiKeys ?? store,
      metrics: renderMetrics ?? { registry.render() }, logger: quietLogger, metricsFactory: registry, clock: clock,
      wallClock: time.clock, spans: spans,
      onListening: { host, port in
        listening.continuation.yield((host, port))
        listening.continuation.finish()
      })
    let group = ServiceGroup(configuration: .init(services: [.init(service: server)], logger: quietLogger))
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      async let engineRun: Void = engine.run()
      tasks.addTask {
        defer { listening.continuation.finish() }
        try await group.run()
      }
      var place: (String, Int)?
      for await listened in listening.stream { place = listened }
      guard let place else {
        try await tasks.next()
        return
      }
      let harness = HTTPHarness(
        host: place.0, port: place.1, store: store, time: time, tasks: engine.service,
        schedules: engine.schedules, registry: registry,
        shutDown: { await group.triggerGracefulShutdown() })
      let outcome: Result<Void, any Error>
      do {
        outcome = .success(try await body(harness))
      } catch {
        outcome = .failure(error)
      }
      await group.triggerGracefulShutdown()
      try await tasks.next()
      engine.drain()
      await engineRun
      try outcome.get()
    }
  }

  /// Neither scheduler nor worker: what happens to tasks is the tests' own doing.
  private static func engine(
    over store: any TaskStore, handlers: [any TaskHandler], registry: PrometheusRegistry, clock: any EngineClock,
    streamKept: Duration?, spans: SpanSource?
  ) throws -> Engine {
    var settings = EngineSettings()
    settings.spans = spans
    settings.isScheduler = false
    settings.settingsPanel = PanelStub()
    settings.streamKept = streamKept
    return Engine(
      settings, store: store, registry: try HandlerRegistry(handlers), executor: globalConcurrentExecutor,
      clock: clock, random: RandomSource(seed: 1), metrics: TaskMetrics(factory: registry),
      logger: quietLogger)
  }

  private static let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

/// The system's clock, but that a wait of a minute has no end: a poll for so long that is answered was not waited out.
struct EndlessMinutes: EngineClock {
  private let clock = SystemClock()

  var now: MonotonicTime { clock.now }

  func sleep(until deadline: MonotonicTime) async throws {
    let isEndless = deadline - now > .seconds(50)
    try await clock.sleep(until: isEndless ? now + .seconds(86_400) : deadline)
  }
}

/// Tells when a task is looked up, or another call is made, so that a test knows that a long poll has begun.
struct LookUps: Sendable {
  var wanted = StoreOperation.tasks
  private let calls = AsyncStream<Void>.makeStream()

  init(of wanted: StoreOperation = .tasks) {
    self.wanted = wanted
  }

  func watch(_ store: any TaskStore) -> any TaskStore {
    FaultyStore(store) { [wanted, calls] operation, _ in
      if operation == wanted { calls.continuation.yield() }
      return nil
    }
  }

  func first() async {
    var iterator = calls.stream.makeAsyncIterator()
    await iterator.next()
  }
}

// MARK: Requests

extension HTTPHarness {
  /// Never shut down: it lives as long as the test program. It goes nowhere else than where it is sent.
  private static let client = HTTPClient(
    eventLoopGroupProvider: .singleton,
    configuration: HTTPClient.Configuration(
      redirectConfiguration: .disallow, timeout: .init(connect: .seconds(120))))

  func send(
    _ method: String, _ target: String, headers: [(String, String)] = [], body: [UInt8]? = nil
  ) async throws -> Reply {
    var request = HTTPClientRequest(url: "http://\(host):\(port)\(target)")
    request.method = HTTPMethod(rawValue: method)
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    if let body { request.body = .bytes(body) }
    let response = try await Self.client.execute(request, timeout: .seconds(120))
    let bytes = try await response.body.collect(upTo: 64 * 1024 * 1024)
    let reply = Reply(
      status: Int(response.status.code),
      headers: response.headers.reduce(into: [:]) { $0[$1.name.lowercased(), default: []].append($1.value) },
      bytes: Array(bytes.readableBytesView))
    let faults = try Contract.served.get().faults(.init(method: method, target: target, body: body, reply: reply))
    #expect(faults == [], "\(method) \(target) \(reply.status) against docs/api/openapi.yaml")
    return reply
  }

  func get(_ target: String, headers: [(String, String)] = []) async throws -> Reply {
    try await send("GET", target, headers: headers)
  }

  /// With the Content-Type of JSON.
  func post(_ target: String, _ json: String, headers: [(String, String)] = []) async throws -> Reply {
    try await send(
      "POST", target, headers: [("Content-Type", "application/json")] + headers, body: Array(json.utf8))
  }

  func patch(_ target: String, _ json: String) async throws -> Reply {
    try await send("PATCH", target, headers: [("Content-Type", "application/json")], body: Array(json.utf8))
  }

  func put(_ target: String, _ json: String) async throws -> Reply {
    try await send("PUT", target, headers: [("Content-Type", "application/json")], body: Array(json.utf8))
  }

  /// Without body and Content-Type.
  func act(_ target: String) async throws -> Reply {
    try await send("POST", target)
  }

  /// A task just submitted.
  func submitted(_ json: String = #"{"type":"resize"}"#) async throws -> String {
    let reply = try await post("/tasks", json)
    try #require(reply.status == 201, "\(reply.text)")
    return try reply.string("id")
  }

  // MARK: Workers, by the store's own calls

  /// Claims the task and reports an outcome; nil leaves it running.
  func attempt(_ id: String, _ outcome: Outcome?, logs: [String] = []) async throws {
    let record = try #require(try await store.tasks([try taskID(id)])[0])
    let request = ClaimRequest(
      worker: "worker-1", queues: [record.queue], types: [record.type], limit: 1, token: 7)
    let claimed = try #require(try await store.claim([request]).first?.first)
    try #require(claimed.id.description == id)
    guard let outcome else { return }
    let verdicts = try await store.finish([
      Finish(lease: claimed.lease, outcome: outcome, logs: logs, randomness: 0)
    ])
    guard case .applied = verdicts.first else { throw Unexpected("the finish was not applied") }
  }

  func taskID(_ text: String) throws -> TaskID {
    try #require(TaskID(text))
  }
}

struct Unexpected: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

// MARK: Replies

struct Reply: Sendable {
  let status: Int
  /// By lower-case name.
  let headers: [String: [String]]
  let bytes: [UInt8]

  var text: String { String(decoding: bytes, as: UTF8.self) }

  func header(_ name: String) -> String? { headers[name.lowercased()]?.joined(separator: ", ") }

  /// By Foundation, so that what Martlet writes is read by somebody else's parser.
  var object: [String: Any] {
    get throws {
      let value = try JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed])
      return try #require(value as? [String: Any], "\(text)")
    }
  }

  func json() throws -> JSONSlice {
    try JSONScanner.scan(bytes)
  }

  func string(_ name: String) throws -> String {
    // Not by Foundation, which refuses some of the JSON that payloads may be.
    try #require(try JSONScanner.scan(bytes)[name]?.string, "\(name) in \(text)")
  }

  func int(_ name: String) throws -> Int {
    try #require(try object[name] as? Int, "\(name) in \(text)")
  }

  func isNull(_ name: String) throws -> Bool {
    try object[name] is NSNull
  }

  /// The elements of `data`.
  var data: [[String: Any]] {
    get throws { try #require(try object["data"] as? [[String: Any]], "\(text)") }
  }

  var ids: [String] {
    get throws { try data.compactMap { $0["id"] as? String } }
  }

  /// The bytes of a member as they came.
  func raw(_ name: String) throws -> String {
    let slice = try #require(try JSONScanner.scan(bytes)[name], "\(name) in \(text)")
    return String(decoding: slice.bytes, as: UTF8.self)
  }

  /// The pointers of a problem's errors.
  var pointers: [String] {
    get throws { try errors.compactMap { $0["pointer"] as? String } }
  }

  var errors: [[String: Any]] {
    get throws { try #require(try object["errors"] as? [[String: Any]], "\(text)") }
  }

  /// Checks that this is a problem document, whole and consistent.
  func expectProblem(_ status: Int, _ code: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    #expect(self.status == status, "\(text)", sourceLocation: sourceLocation)
    #expect(header("content-type") == "application/problem+json", sourceLocation: sourceLocation)
    let object = try object
    #expect(object["type"] as? String == "urn:martlet:problem:\(code)", sourceLocation: sourceLocation)
    #expect(object["code"] as? String == code, "\(text)", sourceLocation: sourceLocation)
    #expect(object["status"] as? Int == status, sourceLocation: sourceLocation)
    #expect((object["title"] as? String)?.isEmpty == false, sourceLocation: sourceLocation)
    #expect((object["detail"] as? String)?.isEmpty == false, sourceLocation: sourceLocation)
    #expect(object["retryable"] is Bool, sourceLocation: sourceLocation)
    #expect(object["requestId"] as? String == header("x-request-id"), sourceLocation: sourceLocation)
    #expect(header("x-request-id")?.isEmpty == false, sourceLocation: sourceLocation)
  }
}
