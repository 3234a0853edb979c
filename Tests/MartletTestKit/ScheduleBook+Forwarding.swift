// Schedules of the stores that stand before another one, and of the reference model.

package import MartletCore

extension MemoryStore {
  package func putSchedule(_ change: ScheduleChange) async throws(StoreError) -> ScheduleVerdict {
    try transaction { state, now in state.putSchedule(change, now: now) }
  }

  package func deleteSchedule(_ name: String, revision: Int64, actor: String) async throws(StoreError) -> Bool {
    try transaction { state, now in state.deleteSchedule(name, revision: revision, actor: actor, now: now) }
  }

  package func schedule(_ name: String) async throws(StoreError) -> ScheduleRecord? {
    try transaction { state, _ in state.schedules[name] }
  }

  package func schedules(after name: String?, limit: Int) async throws(StoreError) -> [ScheduleRecord] {
    try transaction { state, _ in state.schedules(after: name, limit: limit) }
  }

  package func dueSchedules(limit: Int) async throws(StoreError) -> DueSchedules {
    try transaction { state, now in state.dueSchedules(limit: limit, now: now) }
  }

  package func advanceSchedules(_ steps: [ScheduleStep]) async throws(StoreError) -> [StepVerdict] {
    try transaction(as: { .advance(steps, $0) }) { state, now in steps.map { state.advance($0, now: now) } }
  }
}

extension FaultyStore {
  package func putSchedule(_ change: ScheduleChange) async throws(StoreError) -> ScheduleVerdict {
    try await call(.putSchedule) { () async throws(StoreError) in try await inner.putSchedule(change) }
  }

  package func deleteSchedule(_ name: String, revision: Int64, actor: String) async throws(StoreError) -> Bool {
    try await call(.deleteSchedule) { () async throws(StoreError) in
      try await inner.deleteSchedule(name, revision: revision, actor: actor)
    }
  }

  package func schedule(_ name: String) async throws(StoreError) -> ScheduleRecord? {
    try await call(.schedule) { () async throws(StoreError) in try await inner.schedule(name) }
  }

  package func schedules(after name: String?, limit: Int) async throws(StoreError) -> [ScheduleRecord] {
    try await call(.schedules) { () async throws(StoreError) in try await inner.schedules(after: name, limit: limit) }
  }

  package func dueSchedules(limit: Int) async throws(StoreError) -> DueSchedules {
    try await call(.dueSchedules) { () async throws(StoreError) in try await inner.dueSchedules(limit: limit) }
  }

  package func advanceSchedules(_ steps: [ScheduleStep]) async throws(StoreError) -> [StepVerdict] {
    try await call(.advanceSchedules) { () async throws(StoreError) in try await inner.advanceSchedules(steps) }
  }
}

extension SimulatedLink {
  package func putSchedule(_ change: ScheduleChange) async throws(StoreError) -> ScheduleVerdict {
    try await call(true, hints: { _ in [.schedules] }) { (store) throws(StoreError) in
      try await store.putSchedule(change)
    }
  }

  package func deleteSchedule(_ name: String, revision: Int64, actor: String) async throws(StoreError) -> Bool {
    try await call(true) { (store) throws(StoreError) in
      try await store.deleteSchedule(name, revision: revision, actor: actor)
    }
  }

  package func schedule(_ name: String) async throws(StoreError) -> ScheduleRecord? {
    try await call { (store) throws(StoreError) in try await store.schedule(name) }
  }

  package func schedules(after name: String?, limit: Int) async throws(StoreError) -> [ScheduleRecord] {
    try await call { (store) throws(StoreError) in try await store.schedules(after: name, limit: limit) }
  }

  package func dueSchedules(limit: Int) async throws(StoreError) -> DueSchedules {
    try await call { (store) throws(StoreError) in try await store.dueSchedules(limit: limit) }
  }

  package func advanceSchedules(_ steps: [ScheduleStep]) async throws(StoreError) -> [StepVerdict] {
    let hints: ([StepVerdict]) -> [StoreHint] = { verdicts in
      let made = zip(steps, verdicts).compactMap { step, verdict in
        if case .made = verdict { step.task } else { nil }
      }
      return made.isEmpty ? [] : [.work(Set(made.map { Lane(queue: $0.queue, type: $0.type) }))]
    }
    return try await call(true, hints: hints) { (store) throws(StoreError) in
      try await store.advanceSchedules(steps)
    }
  }
}
