// The event stream as a client reads it: what a server sends, in whatever pieces.

#if DEBUG || MARTLET_FUZZ
  import MartletCore

  @testable import MartletClient

  enum StreamTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      var whole = ServerSentEvents()
      let events = whole.take(bytes)
      var pieces = ServerSentEvents()
      let others = bytes.flatMap { pieces.take([$0]) }
      try require(
        events.count == others.count && zip(events, others).allSatisfy { $0.id == $1.id && $0.data == $1.data },
        "in pieces they are other events")
      try require(whole.lastID == pieces.lastID && whole.held == pieces.held, "in pieces it stops elsewhere")
      try require(events.reduce(whole.held) { $0 + $1.data.count } <= bytes.count, "it tells more than came")
      for (id, data) in events {
        do {
          let event = try LiveEvent(position: id.flatMap { Int64($0) } ?? 0, json: data, server: "server")
          try require(event.json == data && !event.name.isEmpty, "an event is another")
        } catch is MartletClientError {
        } catch let finding as Finding {
          throw finding
        } catch {
          throw Finding("\(error)")
        }
      }
    }
  }
#endif
