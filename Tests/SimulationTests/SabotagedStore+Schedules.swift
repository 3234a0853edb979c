// No bug is put into schedules here: they go through.

import MartletCore
import MartletTestKit

extension SabotagedStore {
  func putSchedule(_ change: ScheduleChange) async throws(StoreError) -> ScheduleVerdict {
    try await inner.putSchedule(change)
  }
  func deleteSchedule(_ name: String, revision: Int64, actor: String) async throws(StoreError) -> Bool {
    try await inner.deleteSchedule(name, revision: revision, actor: actor)
  }
  func schedule(_ name: String) async throws(StoreError) -> ScheduleRecord? { try await inner.schedule(name) }
  func schedules(after name: String?, limit: Int) async throws(StoreError) -> [ScheduleRecord] {
    try await inner.schedules(after: name, limit: limit)
  }
  func dueSchedules(limit: Int) async throws(StoreError) -> DueSchedules {
    try await inner.dueSchedules(limit: limit)
  }
  func advanceSchedules(_ steps: [ScheduleStep]) async throws(StoreError) -> [StepVerdict] {
    try await inner.advanceSchedules(steps)
  }
}
