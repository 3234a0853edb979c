// The part of the store's contract behind `GET /events/stream`: events that the relay has put in one order, kept for a while so that
// a client which was away can go on where it was.

package protocol StreamBook: Sendable {
  /// Writes events behind all others, in this order, each at the position after that of the one before it. One that is there already
  /// keeps its place. Positions are given in the order of commits, without a gap: whoever has read one will never see a lower one
  /// come. Only while the relay has the sink `StreamPage.sink` (`OutboxBook.takeEntries`).
  /// - Returns: false, and nothing is written, where another relay has it, or none.
  func appendToStream(_ events: [OutgoingEvent], relay: String) async throws(StoreError) -> Bool

  /// The events after a position, at most `limit`, in order, and where the stream begins and ends.
  func streamPage(after position: Int64, limit: Int) async throws(StoreError) -> StreamPage

  /// Deletes at most `limit` of the oldest events, those that were written longer ago than this; answers how many. Once the sink is
  /// forgotten (`OutboxBook.attend`) events go whatever their age. No position is given a second time.
  func pruneStream(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int
}

package struct StreamPage: Sendable, Hashable {
  package var events: [StreamedEvent]
  /// The position of the oldest event that is kept; where there is none, of the next that will come.
  package var first: Int64
  /// The last position that was given; 0 where none was.
  package var last: Int64

  package init(events: [StreamedEvent], first: Int64, last: Int64) {
    self.events = events
    self.first = first
    self.last = last
  }

  /// What the relay of the stream goes by in the outbox.
  package static let sink = "stream"
}

/// An event as clients get it, and what they may choose by.
package struct StreamedEvent: Sendable, Hashable {
  /// 1 and on, without a gap.
  package var position: Int64
  package var task: TaskID
  package var type: TaskEventType
  package var lane: Lane
  /// The whole CloudEvent, on one line.
  package var json: [UInt8]

  package init(position: Int64, task: TaskID, type: TaskEventType, lane: Lane, json: [UInt8]) {
    self.position = position
    self.task = task
    self.type = type
    self.lane = lane
    self.json = json
  }
}
