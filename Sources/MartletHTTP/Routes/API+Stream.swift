// `GET /events/stream`: events as they come, as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

internal import HTTPTypes
internal import MartletCore
internal import MartletEngine
internal import ServiceLifecycle

extension Parameters.Known {
  static let stream = Parameters.Known(names: ["taskId", "type", "queue"])
}

extension API {
  /// `GET /events/stream`
  func stream(_ call: Call) async throws(Problem) -> Answer {
    var problems = Problems()
    let filter = StreamFilter(call.query, &problems)
    let position = call.fields.lastEventID.map { text in
      let position = text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int64(text) : nil
      if position == nil {
        problems.add(
          "/header/Last-Event-ID", "the header 'Last-Event-ID' must be the id of an event of this stream, or 0")
      }
      return position ?? 0
    }
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
    guard let stream = tasks.stream else {
      throw Problem(.streamOff, "the server keeps no stream of events; the setting events.streamSeconds turns it on")
    }
    let listener: StreamListener
    do throws(StreamRefusal) {
      listener = try await stream.listen(for: filter, after: position, as: call.credential)
    } catch {
      throw problem(error)
    }
    let feed = EventFeed(listener, call)
    var answer = Answer(type: .eventStream, body: [])
    answer.fields = [(.cacheControl, "no-store"), (.accelBuffering, "no")]
    answer.chunks = { await feed.next() }
    return answer
  }

  private func problem(_ refusal: StreamRefusal) -> Problem {
    switch refusal {
    case .gone(let position, let first, let last):
      let kept = first > last ? "none is kept now" : "those from \(first) to \(last) are kept"
      return Problem(
        .positionGone,
        "what follows event \(position) is not kept any more, or was never written: \(kept); begin anew without Last-Event-ID, or with 0 at the oldest"
      )
    case .full(let limit):
      return Problem(.rateLimited, "as many streams are open as may be at once: \(limit)").adding([(.retryAfter, "10")])
    case .store(let error):
      trouble.store(error)
      return Problem(ServiceError.store(error, tasks: []))
    }
  }
}

extension StreamFilter {
  fileprivate init(_ query: Parameters, _ problems: inout Problems) {
    self.init()
    task = query.read("taskId", "must be a task's id", &problems) { TaskID($0) }
    let names = "names of 1–128 characters of A-Z a-z 0-9 . _ : -, with commas between"
    queues = Set(query.list("queue", names, &problems, Self.name) ?? [])
    // No type of tasks begins as those of events do, or it could not be told which is meant.
    let types = query.list("type", "\(names), and those of events be of \(Self.eventTypeNames)", &problems) { text in
      Self.name(text).flatMap { $0.hasPrefix(Self.eventPrefix) && Self.eventType($0) == nil ? nil : $0 }
    }
    eventTypes = Set((types ?? []).compactMap(Self.eventType))
    taskTypes = Set((types ?? []).filter { Self.eventType($0) == nil })
  }

  private static func name(_ text: Substring) -> String? {
    let name = String(text)
    return Limits.isName(name) ? name : nil
  }

  private static func eventType(_ name: String) -> TaskEventType? {
    guard name.hasPrefix(eventPrefix) else { return nil }
    return TaskEventType(rawValue: String(name.dropFirst(eventPrefix.count)))
  }

  private static let eventPrefix = "martlet.task."
  private static let eventTypeNames = TaskEventType.allCases.map { eventPrefix + $0.rawValue }.joined(separator: ", ")
}

/// What is written to one client, piece by piece.
private actor EventFeed {
  private let listener: StreamListener
  private let call: Call
  private var hasBegun = false
  /// Found, and not yet known whether the client may still have it.
  private var found: [StreamedEvent] = []
  private var written: Int64 = 0
  private var quiet = Duration.zero

  /// How often it is asked whether the credential is still good: with what the gate remembers, not later than 5 s after its end.
  private static let watch = Duration.seconds(1)
  /// Each client that does not take what it is sent holds one piece in memory.
  private static let pieceBytes = 128 * 1024
  /// Proxies cut what is silent for a minute.
  private static let heartbeat = Duration.seconds(15)

  init(_ listener: StreamListener, _ call: Call) {
    self.listener = listener
    self.call = call
  }

  /// Nil at the end.
  func next() async -> [UInt8]? {
    guard hasBegun else {
      hasBegun = true
      written = await listener.position
      // The place is told before there is an event, so that a client that is cut off at once misses nothing.
      return Array("retry: 1000\nid: \(written)\n\n".utf8)
    }
    while true {
      if found.isEmpty {
        switch await step() {
        case .events(let events): found = events
        case .quiet: break
        case .ended: return nil
        }
      }
      do throws(Problem) {
        try await call.confirm()
      } catch {
        guard error.code.isRetryable else { return nil }
        // Nobody can tell now: what was found waits.
        guard await pause() else { return nil }
        if let beat = await beat() { return beat }
        continue
      }
      if !found.isEmpty { return events() }
      if let beat = await beat() { return beat }
    }
  }

  private func step() async -> StreamListener.Step {
    let connection = call.connection
    return await cancelWhenGracefulShutdown { [listener] () async -> StreamListener.Step in
      await connection.cancelWhenClientLeaves { await listener.next(within: Self.watch) }
    }
  }

  private func pause() async -> Bool {
    let connection = call.connection
    return await cancelWhenGracefulShutdown { [listener] () async -> Bool in
      await connection.cancelWhenClientLeaves { await listener.pause(Self.watch) }
    }
  }

  /// As many of them as one piece may hold, at least one.
  private func events() -> [UInt8] {
    var bytes: [UInt8] = []
    var count = 0
    for event in found where bytes.count < Self.pieceBytes {
      count += 1
      bytes += Array("id: \(event.position)\nevent: martlet.task.\(event.type.rawValue)\ndata: ".utf8)
      bytes += event.json
      bytes += [0x0A, 0x0A]
    }
    written = found[count - 1].position
    found.removeFirst(count)
    quiet = .zero
    return bytes
  }

  /// A comment now and then, and with it how far the stream has come without anything for this client.
  private func beat() async -> [UInt8]? {
    quiet += Self.watch
    guard quiet >= Self.heartbeat else { return nil }
    quiet = .zero
    let position = found.isEmpty ? await listener.position : written
    guard position > written else { return Array(": \n\n".utf8) }
    written = position
    return Array(": \nid: \(position)\n\n".utf8)
  }
}
