// The part of the store's contract that keeps what the outside has not heard yet: one entry for each transition and sink, written in
// the transition's own transaction. The relay (`OutboxRelay`) takes the entries, tells the sink, and removes what was delivered.

package protocol OutboxBook: Sendable {
  /// Makes these sinks known and says that somebody attends to them. From its commit on every transition, on whatever node, leaves an
  /// entry for each known sink; what a task did before that is not told to it. Sinks that nobody has attended to for
  /// `SinkState.patience` are forgotten, with their entries, so that what nobody fetches does not fill the disk.
  /// - Returns: the installation's name, which is the same for all nodes over this store, and no other's.
  @discardableResult
  func attend(to sinks: Set<String>) async throws(StoreError) -> String

  /// Takes a sink for a relay for this long, and reads what waits for it: at most `limit` entries, oldest first. Of a task with an
  /// entry that is put off, later ones wait too. The entries of a task come in the order of its history.
  /// - Returns: nil while another relay has the sink, and where the sink is not known.
  func takeEntries(
    for sink: String, relay: String, limit: Int, hold: Duration
  ) async throws(StoreError) -> [OutboxEntry]?

  /// What entries tell, by their tasks; without those that were deleted by hand before anybody could be told of them.
  func stories(of entries: [OutboxEntry]) async throws(StoreError) -> [TaskID: TaskStory]

  /// Removes entries that were delivered, and puts others off: they are not read again for this long. Numbers that are gone are
  /// passed over.
  func settleEntries(delivered: [Int64], putOff: [Int64: Duration], for sink: String) async throws(StoreError)

  /// Lets another relay have the sink at once.
  func release(sink: String, relay: String) async throws(StoreError)

  /// What is known of each sink. Entries are counted up to `SinkState.mostCounted`.
  func sinks() async throws(StoreError) -> [SinkState]
}

package struct OutboxEntry: Sendable, Hashable {
  /// Higher than that of every entry of the same task and sink that was committed before.
  package var number: Int64
  package var task: TaskID
  /// Of the events that the transition wrote.
  package var sequences: ClosedRange<Int>
  package var at: Timestamp
  /// How often it was put off.
  package var tries: Int

  package init(number: Int64, task: TaskID, sequences: ClosedRange<Int>, at: Timestamp, tries: Int) {
    self.number = number
    self.task = task
    self.sequences = sequences
    self.at = at
    self.tries = tries
  }
}

/// Entries, and what they tell.
package struct OutboxPage: Sendable, Hashable {
  package var entries: [OutboxEntry]
  package var stories: [TaskID: TaskStory]

  package init(entries: [OutboxEntry], stories: [TaskID: TaskStory]) {
    self.entries = entries
    self.stories = stories
  }
}

package struct SinkState: Sendable, Hashable {
  package var name: String
  /// Who delivers to it now; nil where nobody does.
  package var relay: String?
  package var attendedAt: Timestamp
  /// Entries that wait, at most `mostCounted`.
  package var waiting: Int
  /// When the oldest of them was written.
  package var oldest: Timestamp?

  package init(name: String, relay: String?, attendedAt: Timestamp, waiting: Int, oldest: Timestamp?) {
    self.name = name
    self.relay = relay
    self.attendedAt = attendedAt
    self.waiting = waiting
    self.oldest = oldest
  }

  package static let patience = Duration.seconds(3 * 86_400)
  /// Counting more would cost more than the number is worth.
  package static let mostCounted = 10_000
}

extension [OutboxEntry] {
  /// From the first to the last event of each task.
  package var ranges: [TaskID: HistoryRange] {
    var ranges: [TaskID: HistoryRange] = [:]
    for entry in self {
      let (first, last) = (entry.sequences.lowerBound, entry.sequences.upperBound)
      let known = ranges[entry.task]
      ranges[entry.task] = HistoryRange(
        after: Swift.min(known?.after ?? .max, first - 1), through: Swift.max(known?.through ?? 0, last))
    }
    return ranges
  }
}
