// The outbox of the reference model: what every transaction has moved is seen by comparing before with after.

internal import MartletCore

struct MemorySink {
  var attendedAt: Timestamp
  var relay: String?
  var heldUntil = Timestamp(milliseconds: 0)
  var entries: [(entry: OutboxEntry, nextAt: Timestamp)] = []
}

extension MemoryState {
  /// Answers what it has noted; nil where there is no sink.
  mutating func noteMoves(now: Timestamp) -> [TaskID: ClosedRange<Int>]? {
    guard !sinks.isEmpty else { return nil }
    var noted: [TaskID: ClosedRange<Int>] = [:]
    for (task, first) in tasks.moved {
      outboxNumber += 1
      if sabotage == .tellsAfterCommit, outboxNumber % 16 == 0 { continue }
      let isLate = sabotage == .readsByCursor && outboxNumber % 4 == 0
      noted[task.record.id] = first...task.record.sequence
      for name in sinks.keys {
        let entry = OutboxEntry(
          number: outboxNumber, task: task.record.id, sequences: first...task.record.sequence, at: now, tries: 0)
        sinks[name]?.entries.append((entry, isLate ? now + .milliseconds(200) : Timestamp(milliseconds: 0)))
      }
    }
    return noted
  }

  /// The transaction that is just over, for those who check it.
  func step(_ call: StoreStep.Call, noted: [TaskID: ClosedRange<Int>]?, now: Timestamp) -> StoreStep {
    var changes: [TaskID: StoreStep.Change] = [:]
    var untold: Set<TaskID> = []
    for (id, before) in tasks.before {
      let after = tasks[id].map { TaskImage($0) }
      if before == nil, after == nil { continue }
      changes[id] = StoreStep.Change(before: before.map { TaskImage($0) }, after: after)
      if after == nil, sinks.values.contains(where: { $0.entries.contains { $0.entry.task == id } }) {
        untold.insert(id)
      }
    }
    return StoreStep(call: call, now: now, changes: changes, noted: noted, untold: untold)
  }

  mutating func attend(to names: Set<String>, now: Timestamp) {
    for name in names { sinks[name, default: MemorySink(attendedAt: now)].attendedAt = now }
    sinks = sinks.filter { now - $0.value.attendedAt < SinkState.patience }
    if sinks[StreamPage.sink] == nil { stream.events = [] }
  }

  mutating func takeEntries(
    for name: String, relay: String, limit: Int, hold: Duration, now: Timestamp
  ) -> [OutboxEntry]? {
    guard let sink = sinks[name], sink.relay == nil || sink.relay == relay || sink.heldUntil <= now else { return nil }
    sinks[name]?.relay = relay
    sinks[name]?.heldUntil = now + hold
    var waiting: Set<TaskID> = []
    var entries: [OutboxEntry] = []
    for (entry, nextAt) in sink.entries {
      if nextAt > now { waiting.insert(entry.task) }
      if !waiting.contains(entry.task) { entries.append(entry) }
    }
    if sabotage == .readsByCursor {
      let cursor = sabotaged.cursors[name] ?? 0
      entries.removeAll { $0.number < cursor }
      sinks[name]?.entries.removeAll { $0.entry.number < cursor }
    }
    let page = Array(entries.prefix(limit))
    if sabotage == .settlesUndelivered {
      sinks[name]?.entries.removeAll { known in page.contains { $0.number == known.entry.number } }
    }
    return page
  }

  func stories(of entries: [OutboxEntry]) -> [TaskID: TaskStory] {
    var stories: [TaskID: TaskStory] = [:]
    for (id, range) in entries.ranges { stories[id] = tasks[id]?.story(range) }
    return stories
  }

  mutating func settleEntries(delivered: [Int64], putOff: [Int64: Duration], for name: String, now: Timestamp) {
    let gone = Set(delivered)
    if sabotage == .readsByCursor {
      sabotaged.cursors[name] = max(sabotaged.cursors[name] ?? 0, delivered.max() ?? 0)
    }
    sinks[name]?.entries.removeAll { gone.contains($0.entry.number) }
    guard let entries = sinks[name]?.entries else { return }
    sinks[name]?.entries = entries.map { entry, nextAt in
      guard let wait = putOff[entry.number] else { return (entry, nextAt) }
      var entry = entry
      entry.tries += 1
      return (entry, now + wait)
    }
  }

  mutating func release(sink name: String, relay: String) {
    guard sinks[name]?.relay == relay else { return }
    sinks[name]?.relay = nil
    sinks[name]?.heldUntil = Timestamp(milliseconds: 0)
  }

  func sinkStates(now: Timestamp) -> [SinkState] {
    sinks.sorted { $0.key < $1.key }.map { name, sink in
      SinkState(
        name: name, relay: sink.heldUntil > now ? sink.relay : nil, attendedAt: sink.attendedAt,
        waiting: min(sink.entries.count, SinkState.mostCounted), oldest: sink.entries.first?.entry.at)
    }
  }

  /// Somebody has not heard of it yet.
  func isUntold(_ id: TaskID) -> Bool {
    if sabotage == .prunesUntold { return false }
    return sinks.values.contains { $0.entries.contains { $0.entry.task == id } } || isToBeTold(id)
  }
}

extension MemoryTask {
  fileprivate func story(_ range: HistoryRange) -> TaskStory {
    var record = record
    record.payload = nil
    record.result = nil
    var attempt = 0
    var attempts: [Int: Int] = [:]
    for event in events {
      if event.type == .started { attempt += 1 }
      if event.type.tellsOfAttempt, range.contains(event.sequence) { attempts[event.sequence] = attempt }
    }
    let told = Set(attempts.values)
    let errors = self.attempts.compactMap { ended in
      ended.record.error.map { (ended.record.number, $0) }
    }
    return TaskStory(
      record: record, events: events.filter { range.contains($0.sequence) }, attempts: attempts,
      errors: Dictionary(uniqueKeysWithValues: errors.filter { told.contains($0.0) }))
  }
}
