// The notifier: takes notices from the store when they are due, brings them to their receivers and writes down what came of it. Each
// node with the role `notifier` has one. A receiver that is slow or gone has a few deliveries under way and no more, so that the others
// do not wait for it; a node that dies leaves what it had taken to the others.

internal import Logging
internal import MartletCore
internal import Synchronization

/// Delivers notices for as long as it runs.
final class Notifier: Sendable {
  private let sender: any NoticeSender
  private let parts: EngineParts
  private let state = Mutex(State())
  private let settling: Coalescer<NoticeReport, Bool>

  private struct State {
    /// Deliveries under way, by destination.
    var underWay: [String: Int] = [:]
    /// Destinations whose latest delivery failed.
    var troubled: Set<String> = []
    var failures: [NoticeChannel: (inARow: Int, latest: String)] = [:]
  }

  private static let mostUnderWay = 64
  /// Of one destination: given out at once, and under way when no more are given out.
  private static let perDestination = 8
  private static let busy = 4
  /// Longer than a sender takes to answer.
  private static let hold = Duration.seconds(90)
  /// How long after the last look what another node has done is found. This node's own tasks ring.
  private static let rest = Duration.seconds(1)
  /// The same as long as there never were any.
  private static let longestRest = Duration.seconds(5)
  /// After a look that found nothing, however often it rings.
  private static let breath = Duration.milliseconds(50)
  /// Failures in a row, whatever the receivers, after which a channel counts as failing.
  private static let patience = 5
  private static let mostTroubled = 1000

  init(_ sender: any NoticeSender, _ parts: EngineParts) {
    self.sender = sender
    self.parts = parts
    settling = Coalescer { (reports) throws(StoreError) in
      try await parts.timed("settle-notices", items: reports.count) { () throws(StoreError) in
        try await parts.store.settleNotices(reports)
      }
      return reports.map { _ in true }
    }
    parts.wakeUp.onMoved { [notices = parts.notices] in notices.ringIfUsed() }
  }

  func run() async {
    await withDiscardingTaskGroup { group in
      var backoff = Backoff(random: parts.random)
      var after: String?
      while !Task.isCancelled {
        var rest = parts.notices.isUsed ? Self.rest : Self.longestRest
        do throws(StoreError) {
          if let turn = try await take(after: after) {
            if backoff.succeeded() { parts.logger.info("works again", metadata: ["duty": "notifier"]) }
            after = turn.next
            for notice in turn.notices { group.addTask { await self.deliver(notice) } }
            if !turn.notices.isEmpty { parts.notices.areUsed() }
            if !turn.notices.isEmpty || turn.next != nil { rest = .zero }
          }
        } catch {
          if backoff.isFirst { parts.logger.error("\(error.message)", metadata: ["duty": "notifier"]) }
          rest = backoff.failed()
        }
        guard rest > .zero else { continue }
        await Alarm().wait(until: parts.clock.now + min(rest, Self.breath), on: parts.clock)
        await parts.notices.alarm.wait(until: parts.clock.now + rest, on: parts.clock)
      }
    }
  }

  /// Nil where as many are under way as may be: one that ends will ring.
  private func take(after: String?) async throws(StoreError) -> NoticeTurn? {
    let (room, busy) = state.withLock { state in
      (
        Self.mostUnderWay - state.underWay.values.reduce(0, +),
        Set(state.underWay.filter { $0.value >= Self.busy }.keys)
      )
    }
    guard room > 0 else { return nil }
    let request = NoticeRequest(
      channels: sender.channels, limit: room, perDestination: Self.perDestination, without: busy, after: after,
      hold: Self.hold)
    let turn = try await parts.timed("take-notices") { () throws(StoreError) in
      try await parts.store.takeNotices(request)
    }
    state.withLock { state in for notice in turn.notices { state.underWay[notice.destination, default: 0] += 1 } }
    return turn
  }

  // MARK: One delivery

  private func deliver(_ notice: NoticeRecord) async {
    if let verdict = await verdict(on: notice) {
      note(verdict, on: notice)
      await settle(report(verdict, on: notice))
    }
    state.withLock { state in
      let left = state.underWay[notice.destination, default: 1] - 1
      state.underWay[notice.destination] = left > 0 ? left : nil
    }
    parts.notices.alarm.ring()
  }

  /// Nil where the store does not say what there is to tell: then it is due again when its time is over.
  private func verdict(on notice: NoticeRecord) async -> NoticeVerdict? {
    do throws(StoreError) {
      guard let task = try await parts.store.tasks([notice.id.task]).first ?? nil else {
        return .refused("the task is not there any more")
      }
      let attempt =
        notice.attempt == 0
        ? nil
        : try await parts.store.attempts(of: task.id, after: notice.attempt - 1, limit: 1)?.elements.first
      let delivery = NoticeDelivery(
        notice: notice, task: notice.asItEnded(task, attempt: attempt),
        logs: attempt?.number == notice.attempt ? attempt?.logs ?? [] : [], now: try await parts.storeTime.now())
      return await sender.deliver(delivery)
    } catch {
      return nil
    }
  }

  private func report(_ verdict: NoticeVerdict, on notice: NoticeRecord) -> NoticeReport {
    let outcome: NoticeReport.Outcome =
      switch verdict {
      case .delivered: .delivered
      case .refused(let line): .dead(line)
      // The node is being stopped: another one tries at once.
      case .failed(let line, _) where Task.isCancelled: .failed(line, pause: .zero)
      case .failed(let line, let asked):
        .failed(
          line,
          pause: NoticePatience.pause(
            after: notice.attempts - (notice.mostAttempts - NoticePatience.attempts), asked: asked,
            randomness: parts.random.fraction()))
      }
    return NoticeReport(id: notice.id, attempt: notice.attempts, outcome: outcome)
  }

  /// What cannot be written down is delivered once more.
  private func settle(_ report: NoticeReport) async {
    var backoff = Backoff(random: parts.random)
    for _ in 1...10 {
      do throws(StoreError) {
        _ = try await settling([report])
        return
      } catch {
        guard !Task.isCancelled else { return }
        await Alarm().wait(until: parts.clock.now + backoff.failed(), on: parts.clock)
      }
    }
  }

  // MARK: What is told of it

  private func note(_ verdict: NoticeVerdict, on notice: NoticeRecord) {
    let isLast = notice.attempts >= notice.mostAttempts
    let outcome: NoticeOutcome
    var trouble: String?
    switch verdict {
    case .delivered: outcome = .delivered
    case .failed(let line, _): (outcome, trouble) = (isLast ? .dead : .failed, line)
    case .refused(let line): (outcome, trouble) = (.dead, line)
    }
    parts.metrics.outside.notice(notice.channel, outcome: outcome)
    let isChange = state.withLock { state -> Bool in
      guard let trouble else {
        state.failures[notice.channel] = nil
        return state.troubled.remove(notice.destination) != nil
      }
      state.failures[notice.channel] = ((state.failures[notice.channel]?.inARow ?? 0) + 1, trouble)
      return state.troubled.count < Self.mostTroubled && state.troubled.insert(notice.destination).inserted
    }
    let metadata: Logger.Metadata = ["notice": "\(notice.id)", "destination": "\(notice.destination)"]
    if outcome == .dead {
      parts.logger.error("a notice is given up: \(trouble ?? "")", metadata: metadata)
    } else if isChange {
      if let trouble {
        parts.logger.warning("a notice could not be delivered: \(trouble)", metadata: metadata)
      } else {
        parts.logger.info("takes notices again", metadata: metadata)
      }
    }
  }

  /// For `/health/ready`: what is wrong, nil where nothing is. One receiver that is gone among others that are not is no trouble.
  var trouble: String? {
    state.withLock { state in
      NoticeChannel.allCases.compactMap { channel in
        state.failures[channel].flatMap { $0.inARow >= Self.patience ? "\(channel.rawValue): \($0.latest)" : nil }
      }.first
    }
  }

  /// For a scrape.
  func showChannels() {
    let failures = state.withLock(\.failures)
    for channel in sender.channels {
      parts.metrics.outside.setChannel(channel, isUp: (failures[channel]?.inARow ?? 0) < Self.patience)
    }
  }
}

/// Rings for the notifier. As long as nobody is to be told of anything, tasks that move do not.
final class NoticeBell: Sendable {
  let alarm = Alarm()
  private let hasBeenUsed = Atomic(false)

  var isUsed: Bool { hasBeenUsed.load(ordering: .relaxed) }

  /// There are, or will be, notices.
  func areUsed() { hasBeenUsed.store(true, ordering: .relaxed) }

  func ringIfUsed() {
    if isUsed { alarm.ring() }
  }
}
