// Feeds the event stream: to its relay it is a sink like a broker, but that it stands in the store itself.

internal import MartletCore

struct StreamSink: EventSink {
  let parts: EngineParts
  let stream: EventStream
  /// Whoever has lost the sink must not write behind the one that has it.
  let relay: String

  var name: String { StreamPage.sink }
  var isAtomic: Bool { true }

  func deliver(_ events: [OutgoingEvent]) async -> [SinkVerdict] {
    let verdict: SinkVerdict
    do throws(StoreError) {
      let isOurs = try await parts.timed("append-to-stream") { () throws(StoreError) in
        try await parts.store.appendToStream(events, relay: relay)
      }
      verdict = isOurs ? .delivered : .failed("another node has taken over the stream")
      stream.ring()
    } catch {
      verdict = .failed(error.message)
    }
    return [SinkVerdict](repeating: verdict, count: events.count)
  }

  func close() async {}
}

extension OutboxRelay {
  static func stream(_ stream: EventStream, _ parts: EngineParts, node: String, pieceSize: Int) -> OutboxRelay {
    let id = id(parts, node: node)
    return OutboxRelay(StreamSink(parts: parts, stream: stream, relay: id), parts, id: id, pieceSize: pieceSize)
  }
}
