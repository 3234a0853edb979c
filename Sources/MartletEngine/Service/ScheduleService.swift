// What clients can ask about schedules: HTTP and embedders call it. It validates, asks whether the caller may, and lets the store
// write; ticks are the `ScheduleRunner`'s.

package import MartletCore

package final class ScheduleService: Sendable {
  private let parts: EngineParts
  private let submitter: Submitter
  private let zones: ZoneDatabase

  /// How many of the next ticks a written schedule is told with.
  package static let shown = 10

  init(_ parts: EngineParts, _ submitter: Submitter, zones: ZoneDatabase) {
    self.parts = parts
    self.submitter = submitter
    self.zones = zones
  }

  // MARK: Read

  /// What a caller may not see is not found.
  /// - Parameter next: how many of the next ticks to tell, 0…100.
  package func schedule(_ name: String, next: Int, by caller: Credential) async throws(ServiceError) -> ScheduleView {
    guard let record = try await read(name), caller.mayUse(queueOf: record.schedule, try await typeSettings()) else {
      throw .notFound
    }
    return view(record, next: next, now: try await now())
  }

  /// A page in order of names, without payloads: those that the caller may see, `limit` of them as long as there are more.
  package func schedules(
    after name: String?, limit: Int, by caller: Credential
  ) async throws(ServiceError) -> SchedulePage {
    // One more than the page holds tells whether there is another; of many that are not the caller's few reads are made.
    let size = caller.queues == nil ? limit + 1 : max(limit + 1, 200)
    let settings = try await typeSettings()
    var visible: [ScheduleRecord] = []
    var last = name
    repeat {
      let after = last
      let records = try await store("schedules") { (store) throws(StoreError) in
        try await store.schedules(after: after, limit: size)
      }
      visible += records.filter { caller.mayUse(queueOf: $0.schedule, settings) }
      last = records.count < size ? nil : records.last?.schedule.name
    } while last != nil && visible.count <= limit
    let now = try await now()
    let page = visible.prefix(limit)
    return SchedulePage(
      schedules: page.map { view($0, next: 1, now: now) },
      next: visible.count > limit ? page.last?.schedule.name : nil)
  }

  // MARK: Write

  package func create(_ new: NewSchedule, by caller: Credential) async throws(ServiceError) -> ScheduleView {
    let schedule = try accept(new)
    guard caller.mayUse(queueOf: schedule, try await typeSettings()) else { throw .forbiddenQueue }
    while true {
      if let record = try await put(schedule, over: nil, by: caller) {
        return view(record, next: Self.shown, now: record.updatedAt)
      }
      guard let old = try await read(schedule.name) else { continue }  // it has gone since
      // Of one that the caller may not see, as little is told as can be: that the name will not do.
      guard caller.mayUse(queueOf: old.schedule, try await typeSettings()) else { throw .nameTaken }
      throw .alreadyExists(schedule.name)
    }
  }

  /// Creates the schedule, or puts it in the place of the one of its name.
  package func put(
    _ new: NewSchedule, by caller: Credential
  ) async throws(ServiceError) -> (schedule: ScheduleView, isNew: Bool) {
    let schedule = try accept(new)
    guard caller.mayUse(queueOf: schedule, try await typeSettings()) else { throw .forbiddenQueue }
    while true {
      let old = try await read(schedule.name)
      if let old, !caller.mayUse(queueOf: old.schedule, try await typeSettings()) { throw .notFound }
      if let record = try await put(schedule, over: old?.revision, by: caller) {
        return (view(record, next: Self.shown, now: record.updatedAt), isNew: old == nil)
      }
    }
  }

  package func delete(_ name: String, by caller: Credential) async throws(ServiceError) {
    while true {
      let old = try await writable(name, by: caller)
      let isGone = try await store("delete-schedule") { (store) throws(StoreError) in
        try await store.deleteSchedule(name, revision: old.revision, actor: caller.actor)
      }
      if isGone { return }
    }
  }

  /// Makes a task now, whatever the schedule says, paused or not; the schedule stays where it is.
  package func trigger(
    _ name: String, traceparent: String? = nil, by caller: Credential
  ) async throws(ServiceError) -> TaskRecord {
    while true {
      let record = try await writable(name, by: caller)
      var task = try await task(of: record, for: caller)
      task.traceparent = traceparent ?? task.traceparent
      let step = ScheduleStep(name: name, revision: record.revision, move: nil, task: task, actor: caller.actor)
      let verdicts = try await store("trigger-schedule", tasks: [task.id]) { (store) throws(StoreError) in
        try await store.advanceSchedules([step])
      }
      if case .queueFull(let queue)? = verdicts.first { throw .queueFull(queue) }
      // Else it was changed meanwhile, and its task with it.
      guard case .made(let at)? = verdicts.first else { continue }
      let made = TaskRecord(task, acceptedAt: at)
      submitter.ring(for: [made])
      return made
    }
  }

  private func task(of record: ScheduleRecord, for caller: Credential) async throws(ServiceError) -> AcceptedTask {
    let now = try await now()
    let new = record.schedule.task(at: nil).filled(from: try await typeSettings())
    do throws(ValidationFailure) {
      var task = try submitter.accept(new, by: caller.actor, now: now, submitter.defaults)
      task.scheduleName = record.schedule.name
      return task
    } catch {
      let problems = error.problems.map { ValidationProblem(pointer: "/task" + $0.pointer, detail: $0.detail) }
      throw .invalid(ValidationFailure(problems, payloadTooLarge: error.payloadTooLarge))
    }
  }

  private func writable(_ name: String, by caller: Credential) async throws(ServiceError) -> ScheduleRecord {
    guard let record = try await read(name), caller.mayUse(queueOf: record.schedule, try await typeSettings()) else {
      throw .notFound
    }
    return record
  }

  /// Nil where the schedule is not the expected one.
  private func put(
    _ schedule: Schedule, over expected: Int64?, by caller: Credential
  ) async throws(ServiceError) -> ScheduleRecord? {
    let revision = Int64(bitPattern: parts.random.next())
    let change = ScheduleChange(schedule, revision: revision, expected: expected, actor: caller.actor)
    let verdict = try await store("put-schedule") { (store) throws(StoreError) in try await store.putSchedule(change) }
    guard case .done(let record) = verdict else { return nil }
    parts.wakeUp.schedules()
    return record
  }

  /// Everything that is wrong, at once; what the handler has against the payload too, where this node knows it.
  package func problems(in new: NewSchedule) -> [ValidationProblem] {
    do throws(ServiceError) {
      _ = try accept(new)
      return []
    } catch {
      if case .invalid(let failure) = error { return failure.problems }
      return []
    }
  }

  private func accept(_ new: NewSchedule) throws(ServiceError) -> Schedule {
    let defaults = submitter.defaults
    let others = (submitter.payloadProblems(new.task, defaults) + parts.noticeProblems(new.task.notify))
      .map { ValidationProblem(pointer: "/task" + $0.pointer, detail: $0.detail) }
    do throws(ValidationFailure) {
      let schedule = try new.accepted(defaults: defaults, zones: zones)
      guard others.isEmpty else { throw ValidationFailure(others) }
      return schedule
    } catch {
      if error.payloadTooLarge { throw .invalid(error) }
      throw .invalid(ValidationFailure(error.problems + others.filter { !error.problems.contains($0) }))
    }
  }

  // MARK: Helpers

  private func view(_ record: ScheduleRecord, next count: Int, now: Timestamp) -> ScheduleView {
    // Where this node cannot read the zone it has nothing to tell; a scheduler that cannot says so in `lastError`.
    guard let timing = try? record.timing(zones) else { return ScheduleView(record: record, next: nil, upcoming: []) }
    let ticks = record.schedule.upcoming(max(count, 1), timing, handled: record.handled, now: now)
    return ScheduleView(record: record, next: ticks.first, upcoming: Array(ticks.prefix(count)))
  }

  private func read(_ name: String) async throws(ServiceError) -> ScheduleRecord? {
    try await store("schedule") { (store) throws(StoreError) in try await store.schedule(name) }
  }

  private func typeSettings() async throws(ServiceError) -> [String: TypeSettings] {
    do throws(StoreError) {
      return try await submitter.typeSettings()
    } catch {
      throw .store(error, tasks: [])
    }
  }

  private func now() async throws(ServiceError) -> Timestamp {
    do throws(StoreError) {
      return try await parts.storeTime.now()
    } catch {
      throw .store(error, tasks: [])
    }
  }

  private func store<Value: Sendable>(
    _ operation: String, tasks: [TaskID] = [], _ call: (any TaskStore) async throws(StoreError) -> Value
  ) async throws(ServiceError) -> Value {
    do throws(StoreError) {
      return try await parts.timed(operation) { () throws(StoreError) in try await call(parts.store) }
    } catch {
      throw .store(error, tasks: tasks)
    }
  }
}

/// A schedule with the ticks that are to come.
package struct ScheduleView: Sendable, Hashable {
  package var record: ScheduleRecord
  /// Nil while paused, and where the rules of the time zone cannot be read.
  package var next: Timestamp?
  /// As many of the next ticks as were asked for.
  package var upcoming: [Timestamp]
}

package struct SchedulePage: Sendable, Hashable {
  package var schedules: [ScheduleView]
  /// The name behind which the next page begins; nil after the last.
  package var next: String?
}

extension Credential {
  /// - Parameter settings: those of types, by which a task's queue is chosen where the schedule names none.
  fileprivate func mayUse(queueOf schedule: Schedule, _ settings: [String: TypeSettings]) -> Bool {
    mayUse(queue: schedule.task.filled(from: settings).queue ?? "default")
  }
}
