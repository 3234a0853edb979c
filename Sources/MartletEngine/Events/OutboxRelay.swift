// Tells a sink what has happened: one loop for each sink that this node is configured for. Of many nodes one delivers to a sink at a
// time; the others stand by. What is not delivered stays in the outbox: a sink that is down keeps nobody else waiting.

internal import Logging
internal import MartletCore
internal import Synchronization

/// Delivers the entries of one sink for as long as it runs.
final class OutboxRelay: Sendable {
  private let sink: any EventSink
  private let parts: EngineParts
  private let id: String
  private let alarm = Alarm()
  private let state = Mutex(State())

  private struct State {
    var isDelivering = false
    /// The first line of trouble that has not ended yet.
    var trouble: String?
  }

  /// Entries read and told at a time, and those among them that come with a payload.
  private static let pageSize = 1000
  private static let mostDeadLetters = 100
  /// A relay that has said nothing for so long has died, and another takes over. Longer than a sink takes to answer.
  private var hold: Duration { sink.isAtomic ? .seconds(10) : .seconds(45) }
  /// How long after the last look what another node has done is found. This node's own tasks ring.
  private static let rest = Duration.seconds(1)
  private static let longestPause = Duration.seconds(30)
  /// How often it says that somebody attends to the sink.
  private static let attendance = Duration.seconds(60)

  /// - Parameter node: its name, for people.
  convenience init(_ sink: any EventSink, _ parts: EngineParts, node: String) {
    self.init(sink, parts, id: Self.id(parts, node: node))
  }

  /// - Parameter id: what it has the sink by in the store.
  init(_ sink: any EventSink, _ parts: EngineParts, id: String) {
    self.sink = sink
    self.parts = parts
    self.id = id
    parts.wakeUp.onMoved { [alarm] in alarm.ring() }
  }

  /// One that no other relay has.
  static func id(_ parts: EngineParts, node: String) -> String {
    "\(node)-\(String(parts.random.next(), radix: 36))"
  }

  var name: String { sink.name }

  func run() async {
    var failures = 0
    var attended: (until: MonotonicTime, source: String)?
    while !Task.isCancelled {
      var rest = Duration.zero
      do throws(StoreError) {
        if attended.map({ $0.until <= parts.clock.now }) ?? true {
          let installation = try await parts.store.attend(to: [sink.name])
          attended = (parts.clock.now + Self.attendance, "/martlet/\(installation)")
        }
        switch try await deliverPage(from: attended?.source ?? "/martlet") {
        case .nothing: (rest, failures) = (Self.rest, 0)
        case .delivered: failures = 0
        case .failed: failures += 1
        }
      } catch {
        failures += 1
        if failures == 1 { parts.logger.error("\(error.message)", metadata: ["sink": "\(sink.name)"]) }
      }
      // Trouble is not over because there is more to tell.
      if failures > 0 {
        await Alarm().wait(until: parts.clock.now + pause(after: failures), on: parts.clock)
      } else if rest > .zero {
        await alarm.wait(until: parts.clock.now + rest, on: parts.clock)
      }
    }
  }

  /// Lets another node have the sink, and ends its connections. To be called once `run` has returned.
  func close() async {
    do throws(StoreError) {
      try await parts.store.release(sink: sink.name, relay: id)
    } catch {
      parts.logger.debug("\(sink.name) stays with this node until its time is over: \(error.message)")
    }
    await sink.close()
  }

  /// 100 ms, doubling up to half a minute, shortened at random by up to half.
  private func pause(after failures: Int) -> Duration {
    let longest = min(Self.longestPause, .milliseconds(50 << min(failures, 12)))
    return longest - longest / 2 * parts.random.fraction()
  }

  private enum Step {
    case nothing, delivered, failed
  }

  private func deliverPage(from source: String) async throws(StoreError) -> Step {
    let page = try await parts.timed("take-entries") { () throws(StoreError) in
      try await parts.store.takeEntries(for: sink.name, relay: id, limit: Self.pageSize, hold: hold)
    }
    state.withLock { state in
      state.isDelivering = page != nil
      if page == nil { state.trouble = nil }  // it is the other relay's now
    }
    guard let page = page?.beginning(mostDeadLetters: Self.mostDeadLetters), !page.entries.isEmpty else {
      return .nothing
    }
    let told = OutgoingPage(page, deadLetters: try await deadLetters(of: page), source: source)
    let outcome = told.outcome(await tell(told))
    note(outcome)
    try await parts.timed("settle-entries") { () throws(StoreError) in
      try await parts.store.settleEntries(
        delivered: outcome.delivered, putOff: outcome.refused.mapValues(Self.putOff), for: sink.name)
    }
    return outcome.isFailure ? .failed : .delivered
  }

  /// Wave by wave, where the sink is not atomic; nothing is told of a task behind what was not delivered. Where the sink as such is in trouble, nothing more at all.
  private func tell(_ page: OutgoingPage) async -> [SinkVerdict?] {
    var verdicts = [SinkVerdict?](repeating: nil, count: page.events.count)
    var stuck: Set<TaskID> = []
    for wave in sink.isAtomic ? [Array(page.events.indices)] : page.waves {
      let open = wave.filter { !stuck.contains(page.events[$0].task) }
      guard !open.isEmpty else { break }
      let answers = await sink.deliver(open.map { page.events[$0] })
      var isFailure = false
      for (place, index) in open.enumerated() {
        let verdict = place < answers.count ? answers[place] : .failed("\(sink.name) gave no answer")
        verdicts[index] = verdict
        if verdict != .delivered { stuck.insert(page.events[index].task) }
        if case .failed = verdict { isFailure = true }
      }
      if isFailure { break }
    }
    return verdicts
  }

  /// Whole, for those who process dead letters.
  private func deadLetters(of page: OutboxPage) async throws(StoreError) -> [TaskID: TaskRecord] {
    let ids = page.stories.values.filter { $0.events.contains { $0.type == .dead } }.map(\.record.id)
    guard !ids.isEmpty else { return [:] }
    let records = try await parts.timed("read") { () throws(StoreError) in try await parts.store.tasks(ids) }
    return Dictionary(records.compactMap { $0.map { ($0.id, $0) } }, uniquingKeysWith: { first, _ in first })
  }

  /// 5 s, doubling up to an hour.
  private static func putOff(tries: Int) -> Duration {
    min(.seconds(3600), .seconds(5 << min(tries, 10)))
  }

  /// Trouble is logged once, and its end.
  private func note(_ outcome: OutgoingPage.Outcome) {
    parts.metrics.outside.delivered(outcome.events, to: sink.name)
    let before = state.withLock { state -> String? in
      defer { state.trouble = outcome.trouble }
      return state.trouble
    }
    if let trouble = outcome.trouble {
      if before == nil { parts.logger.error("\(trouble)", metadata: ["sink": "\(sink.name)"]) }
    } else if before != nil {
      parts.logger.info("works again", metadata: ["sink": "\(sink.name)"])
    }
  }

  /// For `/health/ready`: what is wrong, nil where nothing is.
  var trouble: String? { state.withLock(\.trouble) }
  var isDelivering: Bool { state.withLock(\.isDelivering) }
}
