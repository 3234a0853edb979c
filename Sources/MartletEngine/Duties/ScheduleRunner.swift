// The duty that makes the tasks of schedules. Part of the role `scheduler`; there is no leader: every node decides, and the store
// lets one of them have the tick.

internal import Logging
internal import MartletCore
internal import Synchronization
internal import Tracing

extension PeriodicService {
  /// Schedules that are due are looked at: their tick makes a task, or they are told when to be looked at next. Rests until the
  /// next is due, or until the bell tells that one was changed.
  static func scheduleRunner(_ engine: EngineParts, _ submitter: Submitter, zones: ZoneDatabase) -> PeriodicService {
    let alarm = Alarm()
    engine.wakeUp.onSchedules { alarm.ring() }
    let runner = ScheduleRunner(engine, submitter, zones: zones)
    return PeriodicService(
      "schedule-runner", clock: engine.clock, random: engine.random, logger: engine.logger, alarm: alarm
    ) { () throws(StoreError) in
      try await runner.look()
    }
  }
}

private final class ScheduleRunner: Sendable {
  private let parts: EngineParts
  private let submitter: Submitter
  private let zones: ZoneDatabase
  /// However many rings come, the store is asked at most fifty times a second.
  private let earliest = Mutex(MonotonicTime(nanoseconds: .min / 2))

  private static let most = 50
  private static let leastPause = Duration.milliseconds(20)
  /// Whatever was missed is found.
  private static let longestRest = Duration.seconds(5)

  init(_ parts: EngineParts, _ submitter: Submitter, zones: ZoneDatabase) {
    self.parts = parts
    self.submitter = submitter
    self.zones = zones
  }

  /// How long to rest.
  func look() async throws(StoreError) -> Duration {
    let pause = earliest.withLock(\.self) - parts.clock.now
    guard pause <= .zero else { return pause }
    let due = try await parts.timed("due-schedules") { () throws(StoreError) in
      try await parts.store.dueSchedules(limit: Self.most)
    }
    let asked = parts.clock.now
    earliest.withLock { $0 = asked + Self.leastPause }
    let settings = due.schedules.isEmpty ? [:] : try await submitter.typeSettings()
    var steps = due.schedules.map { decide($0, settings, now: due.now) }
    let spans = parts.spans.map { begin($0, &steps) }
    if !steps.isEmpty {
      let verdicts = try await parts.timed("advance-schedules") { () throws(StoreError) in
        try await parts.store.advanceSchedules(steps)
      }
      for (step, verdict) in zip(steps, verdicts) { tell(step, verdict, of: due) }
      if let spans { end(spans, verdicts) }
    }
    let nextIn = steps.compactMap { step in step.move?.lookAt.map { $0 - due.now } } + [due.nextIn].compactMap(\.self)
    let next = asked + min(nextIn.min() ?? Self.longestRest, Self.longestRest)
    return max(next, earliest.withLock(\.self)) - parts.clock.now
  }

  /// Each task that a schedule makes begins a trace, with a span of its own.
  private func begin(_ source: SpanSource, _ steps: inout [ScheduleStep]) -> [(any Tracing.Span)?] {
    steps.indices.map { index in
      guard steps[index].task != nil else { return nil }
      let span = source.begin(
        "submit", .producer, in: nil,
        ["messaging.system": "martlet", "martlet.schedule": .string(steps[index].name)])
      steps[index].task?.traceparent = source.traceparent(of: span)
      return span
    }
  }

  /// Where another node was faster, there is nothing to tell, and the span is forgotten.
  private func end(_ spans: [(any Tracing.Span)?], _ verdicts: [StepVerdict]) {
    for (span, verdict) in zip(spans, verdicts) {
      if let span, case .made = verdict { parts.spans?.end(span) }
    }
  }

  private func decide(_ record: ScheduleRecord, _ settings: [String: TypeSettings], now: Timestamp) -> ScheduleStep {
    record.step(now: now, zones: zones) { (task) throws(ValidationFailure) in
      try submitter.accept(task.filled(from: settings), by: Actor.scheduler, now: now, submitter.defaults)
    }
  }

  private func tell(_ step: ScheduleStep, _ verdict: StepVerdict, of due: DueSchedules) {
    let metadata: Logger.Metadata = ["schedule": "\(step.name)"]
    switch verdict {
    case .made(let at):
      guard let task = step.task else { return }
      submitter.ring(for: [TaskRecord(task, acceptedAt: at)])
    case .passed:
      parts.logger.info(
        "a tick was passed over: the schedule's latest task is not final, or the tick has one", metadata: metadata)
    case .queueFull(let queue):
      parts.logger.warning("a schedule makes no task: the queue '\(queue)' is full", metadata: metadata)
    case .moved:
      guard let move = step.move else { return }
      if let error = move.error, error.at == due.now {
        parts.logger.error("a schedule makes no task: \(error.message)", metadata: metadata)
      } else if move.to > move.from {
        parts.logger.info("a tick was passed over: it was missed", metadata: metadata)
      }
    case .stale: break  // another node was faster
    }
  }
}
