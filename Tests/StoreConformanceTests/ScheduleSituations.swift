// Short words for what the tests of schedules do with a store.

import MartletCore
import MartletTestKit

extension StoreBench {
  func put(
    _ schedule: Schedule, revision: Int64 = 1, over expected: Int64? = nil
  ) async throws -> ScheduleVerdict {
    try await store.putSchedule(ScheduleChange(schedule, revision: revision, expected: expected, actor: "key-1"))
  }

  func written(
    _ schedule: Schedule, revision: Int64 = 1, over expected: Int64? = nil
  ) async throws -> ScheduleRecord {
    guard case .done(let record) = try await put(schedule, revision: revision, over: expected) else {
      throw BenchError.noSuchTask
    }
    return record
  }

  func schedule(_ name: String = "nightly") async throws -> ScheduleRecord {
    guard let record = try await store.schedule(name) else { throw BenchError.noSuchTask }
    return record
  }

  func advance(_ steps: ScheduleStep...) async throws -> [StepVerdict] {
    try await store.advanceSchedules(steps)
  }

  func due(limit: Int = 100) async throws -> DueSchedules {
    try await store.dueSchedules(limit: limit)
  }
}

extension Schedule {
  static func stub(
    _ name: String = "nightly", every seconds: Int64 = 60, overlap: Overlap = .allow, paused: Bool = false,
    task: NewTask = NewTask(type: "resize")
  ) -> Schedule {
    Schedule(
      name: name, recurrence: .every(milliseconds: seconds * 1000), misfire: .skip, overlap: overlap, paused: paused,
      task: task)
  }
}

extension ScheduleRecord {
  /// The step that a scheduler would decide on now, with this task.
  func step(_ number: Int? = nil, at now: Timestamp) -> ScheduleStep {
    step(now: now, zones: .system) { (task) throws(ValidationFailure) in
      try task.accepted(id: .stub(number ?? 0), defaults: TaskDefaults(), now: now)
    }
  }

  func trigger(_ number: Int) -> ScheduleStep {
    var task = AcceptedTask.stub(number)
    task.scheduleName = schedule.name
    return ScheduleStep(name: schedule.name, revision: revision, move: nil, task: task, actor: "key-1")
  }
}
