// The outbox of the reference model: what every transaction has moved is seen by comparing before with after.

internal import MartletCore

struct MemorySink {
  var attendedAt: Timestamp
  var relay: String?
  var heldUntil = Timestamp(milliseconds: 0)
  var entries: [(entry: OutboxEntry, nextAt: Timestamp)] = []
}

extension MemoryState {
  /// What `noteMoves` compares with; nil while nobody wants to know.
  var sequences: [TaskID: Int]? { sinks.isEmpty ? nil : tasks.mapValues(\.record.sequence) }

  mutating func noteMoves(since before: [TaskID: Int]?, now: Timestamp) {
    guard let before else { return }
    for (id, task) in tasks.sorted(by: { $0.key < $1.key }) {
      let first = before[id, default: 0] + 1
      guard task.record.sequence >= first else { continue }
      outboxNumber += 1
      for name in sinks.keys {
        let entry = OutboxEntry(
          number: outboxNumber, task: id, sequences: first...task.record.sequence, at: now, tries: 0)
        sinks[name]?.entries.append((entry, Timestamp(milliseconds: 0)))
      }
    }
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
    return Array(entries.prefix(limit))
  }

  func stories(of entries: [OutboxEntry]) -> [TaskID: TaskStory] {
    var stories: [TaskID: TaskStory] = [:]
    for (id, range) in entries.ranges { stories[id] = tasks[id]?.story(range) }
    return stories
  }

  mutating func settleEntries(delivered: [Int64], putOff: [Int64: Duration], for name: String, now: Timestamp) {
    let gone = Set(delivered)
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
    sinks.values.contains { $0.entries.contains { $0.entry.task == id } } || isToBeTold(id)
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
