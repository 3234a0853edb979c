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
  private let pieceSize: Int
  private let alarm = Alarm()
  private let state = Mutex(State())

  private struct State {
    var isDelivering = false
    /// The first line of trouble that has not ended yet.
    var trouble: String?
  }

  /// Entries taken at a time, in pieces; and those of a piece that come with a payload.
  private var pageSize: Int { 4 * pieceSize }
  private static let mostDeadLetters = 100
  /// A relay that has said nothing for so long has died, and another takes over. Longer than a sink takes to answer.
  private var hold: Duration { sink.isAtomic ? .seconds(10) : .seconds(45) }
  /// How long after the last look what another node has done is found. This node's own tasks ring.
  private static let rest = Duration.seconds(1)
  private static let longestPause = Duration.seconds(30)
  /// How often it says that somebody attends to the sink.
  private static let attendance = Duration.seconds(60)

  /// - Parameters:
  ///   - id: what it has the sink by in the store.
  ///   - pieceSize: entries that are read and told at a time.
  init(_ sink: any EventSink, _ parts: EngineParts, id: String, pieceSize: Int) {
    self.sink = sink
    self.parts = parts
    self.id = id
    self.pieceSize = pieceSize
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

  /// A page, piece by piece. While the sink is told of one, what the next has to tell is read, and what was delivered of the one before
  /// is removed: the database and the sink both work.
  private func deliverPage(from source: String) async throws(StoreError) -> Step {
    let start = parts.clock.now
    let entries = try await parts.timed("take-entries") { () throws(StoreError) in
      try await parts.store.takeEntries(for: sink.name, relay: id, limit: pageSize, hold: hold)
    }
    state.withLock { state in
      state.isDelivering = entries != nil
      if entries == nil { state.trouble = nil }  // it is the other relay's now
    }
    guard let entries, !entries.isEmpty else { return .nothing }
    var page = PageInProgress(piece: try await piece(of: entries[...], source))
    while let piece = page.piece {
      // Another relay may have the sink soon: what is left of the page is taken anew.
      let isLate = parts.clock.now - start > hold / 2
      let told = page.told
      async let next = read(isLate ? [] : entries[piece.end...], source)
      async let settled = settle(told)
      let outcome = piece.events.outcome(await tell(piece.events, without: &page.stuck))
      try await settled.get()
      note(outcome, before: page.trouble)
      page.told = outcome
      page.trouble = page.trouble ?? outcome.trouble
      page.piece = outcome.isFailure ? nil : try await next.get()
    }
    try await settle(page.told).get()
    if page.trouble == nil { noteEndOfTrouble() }
    return page.told?.isFailure == true ? .failed : .delivered
  }

  private struct PageInProgress {
    /// To be told next.
    var piece: Piece?
    /// What came of the last one, to be settled.
    var told: OutgoingPage.Outcome?
    /// Tasks with an event that was not delivered: what comes after it waits.
    var stuck: Set<TaskID> = []
    var trouble: String?
  }

  private struct Piece: Sendable {
    var events: OutgoingPage
    /// Where the next one begins.
    var end: Int
  }

  /// Nil where nothing is left.
  private func read(_ entries: ArraySlice<OutboxEntry>, _ source: String) async -> Result<Piece?, StoreError> {
    guard !entries.isEmpty else { return .success(nil) }
    do throws(StoreError) { return .success(try await piece(of: entries, source)) } catch { return .failure(error) }
  }

  /// What the first of these tell.
  private func piece(of entries: ArraySlice<OutboxEntry>, _ source: String) async throws(StoreError) -> Piece {
    let first = Array(entries.prefix(pieceSize))
    let stories = try await parts.timed("read-stories") { () throws(StoreError) in
      try await parts.store.stories(of: first)
    }
    let page = OutboxPage(entries: first, stories: stories).beginning(mostDeadLetters: Self.mostDeadLetters)
    let events = OutgoingPage(page, deadLetters: try await deadLetters(of: page), source: source)
    return Piece(events: events, end: entries.startIndex + page.entries.count)
  }

  private func settle(_ outcome: OutgoingPage.Outcome?) async -> Result<Void, StoreError> {
    guard let outcome, !outcome.delivered.isEmpty || !outcome.refused.isEmpty else { return .success(()) }
    do throws(StoreError) {
      try await parts.timed("settle-entries") { () throws(StoreError) in
        try await parts.store.settleEntries(
          delivered: outcome.delivered, putOff: outcome.refused.mapValues(Self.putOff), for: sink.name)
      }
      return .success(())
    } catch {
      return .failure(error)
    }
  }

  /// Wave by wave, where the sink is not atomic; nothing is told of a task behind what was not delivered. Where the sink as such is in
  /// trouble, nothing more at all.
  private func tell(_ page: OutgoingPage, without stuck: inout Set<TaskID>) async -> [SinkVerdict?] {
    var verdicts = [SinkVerdict?](repeating: nil, count: page.events.count)
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

  /// Trouble is logged once, and its end: when a whole page went well.
  /// - Parameter trouble: of the pieces before this one, which was told of already.
  private func note(_ outcome: OutgoingPage.Outcome, before trouble: String?) {
    parts.metrics.outside.delivered(outcome.events, to: sink.name)
    guard trouble == nil, let trouble = outcome.trouble else { return }
    let before = state.withLock { state -> String? in
      defer { state.trouble = trouble }
      return state.trouble
    }
    if before == nil { parts.logger.error("\(trouble)", metadata: ["sink": "\(sink.name)"]) }
  }

  private func noteEndOfTrouble() {
    let before = state.withLock { state -> String? in
      defer { state.trouble = nil }
      return state.trouble
    }
    if before != nil { parts.logger.info("works again", metadata: ["sink": "\(sink.name)"]) }
  }

  /// For `/health/ready`: what is wrong, nil where nothing is.
  var trouble: String? { state.withLock(\.trouble) }
  var isDelivering: Bool { state.withLock(\.isDelivering) }
}
