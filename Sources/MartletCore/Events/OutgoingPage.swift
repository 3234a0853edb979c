// From the outbox to the sink and back: which events entries tell, and what the sink's verdicts mean for the entries. Pure; the relay
// does the rest.

package struct OutgoingPage: Sendable {
  private let entries: [OutboxEntry]
  /// In the order of the entries.
  package let events: [OutgoingEvent]
  /// Which of `events` each entry tells; none for a task that is gone.
  private let parts: [Range<Int>]

  /// - Parameters:
  ///   - deadLetters: whole tasks, of those with `dead` events.
  ///   - source: `/martlet/<installation>`
  package init(_ page: OutboxPage, deadLetters: [TaskID: TaskRecord], source: String) {
    entries = page.entries
    var events: [OutgoingEvent] = []
    parts = page.entries.map { entry in
      let start = events.count
      if let story = page.stories[entry.task] {
        for event in story.events where entry.sequences.contains(event.sequence) {
          events.append(
            OutgoingEvent(
              task: entry.task, sequence: event.sequence, type: event.type, at: event.at,
              lane: Lane(queue: story.record.queue, type: story.record.type), source: source,
              data: story.data(of: event),
              deadLetter: event.type == .dead ? story.data(of: event, whole: deadLetters[entry.task]) : nil))
        }
      }
      return start..<events.count
    }
    self.events = events
  }

  package struct Outcome: Sendable, Hashable {
    /// Numbers of entries of which everything was delivered, and of those that have nothing to tell.
    package var delivered: [Int64] = []
    /// Entries with an event that was refused for itself, and how often that has happened before.
    package var refused: [Int64: Int] = [:]
    /// Events that were delivered.
    package var events = 0
    /// One line, where anything went wrong.
    package var trouble: String?
    /// The sink as such is in trouble: it is to be left alone for a while.
    package var isFailure = false
  }

  /// Which of `events` may be told at once: the first of each task, then the second, and so on.
  package var waves: [[Int]] {
    var waves: [[Int]] = []
    var depths: [TaskID: Int] = [:]
    for (index, event) in events.enumerated() {
      let depth = depths[event.task, default: 0]
      depths[event.task] = depth + 1
      if depth == waves.count { waves.append([]) }
      waves[depth].append(index)
    }
    return waves
  }

  /// - Parameter verdicts: one for each of `events`; nil for those that were not told, since what comes before them was not delivered.
  package func outcome(_ verdicts: [SinkVerdict?]) -> Outcome {
    var outcome = Outcome()
    for (entry, part) in zip(entries, parts) {
      let told = verdicts[part]
      outcome.events += told.count { $0 == .delivered }
      guard let wrong = told.first(where: { $0 != .delivered }) else {
        outcome.delivered.append(entry.number)
        continue
      }
      switch wrong {
      case .delivered, nil: break
      case .failed(let line):
        outcome.trouble = outcome.isFailure ? outcome.trouble : line
        outcome.isFailure = true
      case .refused(let line):
        outcome.refused[entry.number] = entry.tries
        outcome.trouble = outcome.trouble ?? line
      }
    }
    return outcome
  }
}

extension OutboxPage {
  /// Its beginning, with at most so many entries that tell of dead letters: those come with their payloads.
  package func beginning(mostDeadLetters most: Int) -> OutboxPage {
    var dead = 0
    let kept = entries.prefix { entry in
      let events = stories[entry.task]?.events ?? []
      if events.contains(where: { $0.type == .dead && entry.sequences.contains($0.sequence) }) { dead += 1 }
      return dead <= most
    }
    return kept.count == entries.count ? self : OutboxPage(entries: Array(kept), stories: stories)
  }
}

extension TaskStory {
  /// What an event tells, as a JSON object.
  /// - Parameter whole: the task with its payload, for dead letters.
  fileprivate func data(of event: TaskEvent, whole: TaskRecord? = nil) -> [UInt8] {
    var writer = JSONWriter(capacity: 512 + (whole?.payload?.count ?? 0))
    writer.object { writer in
      writer.field("taskId", record.id)
      writer.field("taskType", record.type)
      writer.field("queue", record.queue)
      writer.field("priority", record.priority)
      if let status = event.type.status { writer.field("status", status.rawValue) }
      if let attempt = attempts[event.sequence] { writer.field("attempt", attempt) }
      writer.field("maxAttempts", record.maxAttempts)
      writer.field("actor", event.actor)
      if let cause = event.cause { writer.field("cause", cause) }
      if event.type.tellsError, let error = attempts[event.sequence].flatMap({ errors[$0] }) {
        writer.field("error") { writer in
          writer.field("type", error.type)
          writer.field("message", error.message)
          if let stack = error.stack { writer.field("stack", stack) }
        }
      }
      if event.type == .retry { writer.field("availableAt", record.availableAt) }
      writer.field("createdAt", record.createdAt)
      if !record.tags.isEmpty { writer.field("tags", record.tags) }
      if !record.metadata.isEmpty { writer.field("metadata", record.metadata) }
      if let graph = record.graphID { writer.field("graphId", graph) }
      if let schedule = record.scheduleName { writer.field("scheduleName", schedule) }
      if let old = record.replayOf { writer.field("replayOf", old) }
      if let trace = record.traceparent { writer.field("traceparent", trace) }
      if let payload = whole?.payload {
        writer.name("payload")
        writer.raw(payload)
      }
    }
    return writer.bytes
  }
}

extension TaskEventType {
  /// What the task is after it, where the event says so.
  fileprivate var status: TaskStatus? {
    switch self {
    case .ready: .ready
    case .started: .running
    case .succeeded: .success
    case .retry: .retry
    case .dead: .dead
    case .cancelled: .cancelled
    case .received, .failed, .snoozed, .released, .retried, .updated: nil
    }
  }

  fileprivate var tellsError: Bool { [.failed, .retry, .dead].contains(self) }
}
