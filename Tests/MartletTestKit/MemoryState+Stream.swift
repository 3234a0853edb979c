// The event stream of the reference model: a list that grows at its end and is cut at its beginning.

internal import MartletCore

struct MemoryStream {
  var events: [(event: StreamedEvent, sequence: Int, at: Timestamp)] = []
  var last: Int64 = 0
}

extension MemoryState {
  mutating func appendToStream(_ events: [OutgoingEvent], relay: String, now: Timestamp) -> Bool {
    guard let sink = sinks[StreamPage.sink], sink.relay == relay, sink.heldUntil > now else { return false }
    for event in events {
      let isKnown = stream.events.contains { $0.event.task == event.task && $0.sequence == event.sequence }
      guard !isKnown else { continue }
      stream.last += 1
      let streamed = StreamedEvent(
        position: stream.last, task: event.task, type: event.type, lane: event.lane, json: event.json(data: event.data))
      stream.events.append((streamed, event.sequence, now))
    }
    return true
  }

  func streamPage(after position: Int64, limit: Int) -> StreamPage {
    let events = stream.events.map(\.event)
    return StreamPage(
      events: Array(events.filter { $0.position > position }.prefix(limit)),
      first: events.first?.position ?? stream.last + 1, last: stream.last)
  }

  mutating func pruneStream(olderThan age: Duration, limit: Int, now: Timestamp) -> Int {
    let old = stream.events.prefix(limit).prefix { $0.at + age <= now }.count
    stream.events.removeFirst(old)
    return old
  }
}
