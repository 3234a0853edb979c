// How spans get to the receiver, on virtual time and by a post that tests script.

import Logging
import MartletCore
import MartletEngine
import MartletTestKit
import SpanReading
import Synchronization
import Testing
import Tracing

@testable import MartletTelemetry

@Suite struct ExporterTests {
  @Test func `spans that end close together go in one message, a second later at most`() throws {
    try ExporterBench.run { bench in
      for _ in 0..<10 { bench.endSpan() }
      try await bench.clock.sleep(for: .milliseconds(900))
      #expect(bench.post.messages == [])
      try await bench.clock.sleep(for: .milliseconds(200))
      #expect(bench.post.messages == [10])
      #expect(bench.counts == .init(exported: 10))
    }
  }

  @Test func `a whole batch goes at once`() throws {
    try ExporterBench.run { bench in
      for _ in 0..<513 { bench.endSpan() }
      try await bench.clock.sleep(for: .milliseconds(10))
      #expect(bench.post.messages == [512])
      try await bench.clock.sleep(for: .seconds(2))
      #expect(bench.post.messages == [512, 1])
    }
  }

  @Test func `a receiver that fails is asked again after growing pauses, and gets the same spans`() throws {
    try ExporterBench.run { bench in
      bench.post.answers { $0 < 4 ? .failed("no connection") : .taken() }
      bench.endSpan()
      try await bench.clock.sleep(for: .seconds(40))
      #expect(bench.post.messages == [1, 1, 1, 1, 1])
      let times = bench.post.times.map { $0.secondsAsDouble }
      let pauses = zip(times.dropFirst(), times).map { $0 - $1 }
      for (pause, longest) in zip(pauses, [1.0, 2, 4, 8]) { #expect((longest / 2...longest).contains(pause)) }
      #expect(bench.counts == .init(exported: 1))
    }
  }

  @Test func `a receiver that says when is asked then`() throws {
    try ExporterBench.run { bench in
      bench.post.answers { $0 == 0 ? .failed("answered 429", after: .seconds(17)) : .taken() }
      bench.endSpan()
      try await bench.clock.sleep(for: .seconds(30))
      let times = bench.post.times
      #expect(times.count == 2)
      #expect(times[1] - times[0] == .seconds(17))
    }
  }

  @Test func `what a receiver refuses or rejects is counted and not sent again`() throws {
    try ExporterBench.run { bench in
      bench.post.answers { [.refused("answered 400"), .taken(rejected: 2), .taken(rejected: 99)][min($0, 2)] }
      for count in [3, 5, 1] {
        for _ in 0..<count { bench.endSpan() }
        try await bench.clock.sleep(for: .seconds(2))
      }
      #expect(bench.post.messages == [3, 5, 1])
      #expect(bench.counts == .init(exported: 3, dropped: 6))
    }
  }

  @Test func `spans that cannot be sent for a minute are given up, those behind them are tried`() throws {
    try ExporterBench.run { bench in
      bench.post.answers { _ in .failed("down") }
      for _ in 0..<600 { bench.endSpan() }
      try await bench.clock.sleep(for: .seconds(100))
      #expect(bench.counts.dropped == 512)
      bench.post.answers { _ in .taken() }
      try await bench.clock.sleep(for: .seconds(31))
      #expect(bench.counts == .init(exported: 88, dropped: 512))
    }
  }

  @Test func `while the receiver is away spans are kept up to a limit, the rest is counted, and nobody waits`() throws {
    var limits = SpanQueue.Limits()
    limits.spans = 20
    limits.batch = 10
    try ExporterBench.run(limits) { bench in
      bench.post.answers { _ in .failed("down") }
      for _ in 0..<10 { bench.endSpan() }
      try await bench.clock.sleep(for: .seconds(3))
      let start = bench.clock.now
      for _ in 0..<50 { bench.endSpan() }
      #expect(bench.clock.now == start)
      #expect(bench.counts == .init(dropped: 30))
      bench.post.answers { _ in .taken() }
      try await bench.clock.sleep(for: .seconds(30))
      #expect(bench.counts == .init(exported: 30, dropped: 30))
    }
  }

  @Test func `the limit is of bytes too`() throws {
    var limits = SpanQueue.Limits()
    limits.bytes = 10_000
    let dropped = Mutex(0)
    let queue = SpanQueue(limits) { count in dropped.withLock { $0 += count } }
    let tracer = OTLPTracer(queue, ratio: 1, random: RandomSource(seed: 1))
    for _ in 0..<5 {
      let span = tracer.begin("a")
      span.attributes["text"] = String(repeating: "x", count: 4000)
      span.end(at: moment(2))
    }
    #expect(queue.take().count == 2)
    #expect(dropped.withLock(\.self) == 3)
  }

  @Test func `an answer that does not come is waited for ten seconds`() throws {
    try ExporterBench.run { bench in
      bench.post.answers { $0 == 0 ? nil : .taken() }
      bench.endSpan()
      try await bench.clock.sleep(for: .seconds(20))
      let times = bench.post.times
      #expect(times.count == 2)
      #expect((10.5...11).contains((times[1] - times[0]).secondsAsDouble))
      #expect(bench.counts == .init(exported: 1))
    }
  }

  // MARK: The end

  @Test func `at the end what is left is sent at once`() throws {
    let counts = try ExporterBench.run { bench in
      for _ in 0..<700 { bench.endSpan() }
    }
    #expect(counts == .init(exported: 700))
  }

  @Test(arguments: [true, false])
  func `a receiver that is away or silent keeps nobody from ending`(isSilent: Bool) throws {
    let took = Mutex(Duration.zero)
    let counts = try ExporterBench.run(onEnd: { time in took.withLock { $0 = time } }) { bench in
      bench.post.answers { _ in isSilent ? nil : .failed("down") }
      for _ in 0..<700 { bench.endSpan() }
      try await bench.clock.sleep(for: .milliseconds(1))
    }
    #expect(took.withLock(\.self) <= .milliseconds(5001))
    #expect(counts == .init(dropped: 700))
  }

  @Test func `a receiver that comes back in the last moment gets the last spans`() throws {
    let counts = try ExporterBench.run { bench in
      bench.post.answers { $0 < 3 ? .failed("down") : .taken() }
      for _ in 0..<5 { bench.endSpan() }
    }
    #expect(counts == .init(exported: 5))
  }

  @Test func `trouble is logged once, and that it is over`() throws {
    let log = LogBook()
    try ExporterBench.run(logger: log.logger) { bench in
      bench.post.answers { $0 < 5 ? .failed("collector: Connection refused") : .taken() }
      bench.endSpan()
      try await bench.clock.sleep(for: .seconds(60))
    }
    #expect(
      log.lines == ["warning spans cannot be sent: collector: Connection refused", "info spans are sent again"])
  }
}

/// An exporter under way.
final class ExporterBench: Sendable {
  struct Counts: Equatable, Sendable {
    var exported = 0
    var dropped = 0
  }

  let clock: ProcessClock
  let post: ScriptedPost
  private let tracer: OTLPTracer
  private let book: Mutex<Counts>

  var counts: Counts { book.withLock(\.self) }

  func endSpan() { tracer.begin("a").end(at: moment(2)) }

  /// Runs `body` beside it, and ends it then.
  @discardableResult
  static func run(
    _ limits: SpanQueue.Limits = .init(), logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
    onEnd: @escaping @Sendable (Duration) -> Void = { _ in },
    _ body: @escaping @Sendable (ExporterBench) async throws -> Void
  ) throws -> Counts {
    try simulate(seed: 1) { scheduler in
      let bench = ExporterBench(limits, scheduler)
      let exporter = SpanExporter(
        bench.queue, from: SpanOrigin(resource: [], scopeName: "martlet", scopeVersion: "1"), by: bench.post,
        clock: bench.clock, random: RandomSource(seed: 2), logger: logger
      ) { count in bench.book.withLock { $0.exported += count } }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await exporter.run() }
        try await body(bench)
        let start = bench.clock.now
        exporter.finish(within: .seconds(5))
        try await group.waitForAll()
        onEnd(bench.clock.now - start)
      }
      bench.endSpan()  // too late: counted, never waited for
      let late = bench.counts.dropped
      return Counts(exported: bench.counts.exported, dropped: late - 1)
    }
  }

  private let queue: SpanQueue

  private init(_ limits: SpanQueue.Limits, _ scheduler: Scheduler) {
    clock = ProcessClock(scheduler: scheduler)
    post = ScriptedPost(clock)
    let counted = CountBox()
    queue = SpanQueue(limits) { count in counted.bench?.book.withLock { $0.dropped += count } }
    tracer = OTLPTracer(queue, ratio: 1, random: RandomSource(seed: 1))
    book = Mutex(Counts())
    counted.set(self)
  }

  private final class CountBox: Sendable {
    private let box = Mutex<ExporterBench?>(nil)
    var bench: ExporterBench? { box.withLock(\.self) }
    func set(_ bench: ExporterBench) { box.withLock { $0 = bench } }
  }
}

final class ScriptedPost: SpanPost {
  private let clock: ProcessClock
  private let state = Mutex(State())

  private struct State {
    var script: @Sendable (Int) -> SpanVerdict? = { _ in .taken() }
    var calls = 0
    var messages: [Int] = []
    var times: [Duration] = []
  }

  init(_ clock: ProcessClock) {
    self.clock = clock
  }

  /// Counted from here on; nil is never answered.
  func answers(_ script: @escaping @Sendable (Int) -> SpanVerdict?) {
    state.withLock { state in
      state.script = script
      state.calls = 0
    }
  }

  /// How many spans each message had.
  var messages: [Int] { state.withLock(\.messages) }
  var times: [Duration] { state.withLock(\.times) }

  func send(_ message: [UInt8]) async -> SpanVerdict {
    let count = (try? WireMessage(message).messages(1).first?.messages(2).first?.all(2).count) ?? -1
    let now = clock.now - MonotonicTime(nanoseconds: 0)
    let verdict = state.withLock { state -> SpanVerdict? in
      state.messages.append(count)
      state.times.append(now)
      defer { state.calls += 1 }
      return state.script(state.calls)
    }
    if let verdict { return verdict }
    try? await clock.sleep(for: .seconds(1_000_000))  // until cancelled
    return .failed("cancelled")
  }
}

/// Keeps what is logged.
final class LogBook: Sendable {
  private let book = Mutex<[String]>([])
  var lines: [String] { book.withLock(\.self) }

  var logger: Logger { Logger(label: "test") { _ in Handler(book: self) } }

  private struct Handler: LogHandler {
    let book: LogBook
    var logLevel = Logger.Level.info
    var metadata: Logger.Metadata = [:]

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      book.book.withLock { $0.append("\(event.level) \(event.message)") }
    }
  }
}
