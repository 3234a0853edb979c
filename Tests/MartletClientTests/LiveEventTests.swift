// The event stream from a client's side: what it makes of the text, and how it goes on when a connection breaks.

internal import ScriptedServer
internal import Testing

@testable internal import MartletClient

@Suite("Live events")
struct LiveEventTests {
  private static func stream(_ text: String) -> ScriptedAnswer {
    .raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + text)
  }

  private static func event(_ position: Int, sequence: Int = 1, type: String = "received") -> String {
    """
    id: \(position)
    event: martlet.task.\(type)
    data: {"specversion":"1.0","type":"martlet.task.\(type)","subject":"\(Fixtures.id)","time":"2026-02-01T10:00:00.000Z",\
    "sequence":"000000000\(sequence)","data":{}}


    """
  }

  @Test("events come in order, over connections that break, each once")
  func reconnects() async throws {
    let half = Self.event(8)
    let answers: [ScriptedAnswer] = [
      Self.stream("retry: 1000\nid: 4\n\n"),
      Self.stream(Self.event(5) + ": \n\n" + Self.event(6, sequence: 2, type: "ready")),
      .hangUp,
      .problem(503, #"{"status":503}"#, headers: ["retry-after": "1"]),
      Self.stream(": \nid: 7\n\n" + half.dropLast(10)),
      Self.stream(half),
      .problem(410, #"{"status":410,"code":"position-gone"}"#),
    ]
    try await withClient(script: { _, number in answers[min(number, answers.count - 1)] }) { client, server in
      var seen: [LiveEvent] = []
      let filter = EventFilter(taskID: Fixtures.id, types: ["resize", "martlet.task.dead"], queues: ["b", "a"])
      let error = await #expect(throws: MartletClientError.self) {
        for try await event in client.events(filter) { seen.append(event) }
      }
      guard case .problem(let problem) = error else { return #expect(Bool(false), "\(String(describing: error))") }
      #expect(problem.code == "position-gone")
      #expect(seen.map(\.position) == [5, 6, 8])
      #expect(seen.map(\.sequence) == [1, 2, 1])
      #expect(seen.map(\.name) == ["received", "ready", "received"])
      #expect(seen.allSatisfy { $0.taskID == Fixtures.id })
      #expect(
        server.requests.map { $0.headers["last-event-id"] } == [nil, "4", "6", "6", "6", "7", "8"])
      let target = "/events/stream?taskId=\(Fixtures.id)&type=martlet.task.dead%2Cresize&queue=a%2Cb"
      #expect(server.requests.allSatisfy { $0.target == target })
    }
  }

  @Test("it begins where it is told to")
  func beginning() async throws {
    let off = ScriptedAnswer.problem(409, #"{"status":409,"code":"stream-off"}"#)
    try await withClient(script: { _, _ in off }) { client, server in
      await #expect(throws: MartletClientError.self) { for try await _ in client.events(after: 0) {} }
      #expect(server.requests.map { $0.headers["last-event-id"] } == ["0"])
    }
  }

  @Test("a server that is away for too long, or answers with something else, is an error")
  func fails() async throws {
    let time = FakeTime()
    try await withClient(time: time, script: { _, _ in .hangUp }) { client, _ in
      let error = await #expect(throws: MartletClientError.self) { for try await _ in client.events() {} }
      guard case .noAnswer = error else { return #expect(Bool(false), "\(String(describing: error))") }
      #expect(!time.pauses.isEmpty)
    }
    try await withClient(script: { _, _ in .json(200, "{}") }) { client, server in
      await #expect(throws: MartletClientError.self) { for try await _ in client.events() {} }
      #expect(server.requests.count == 1)
    }
  }

  @Test("lines may end in either way, come in pieces, and have no colon")
  func text() {
    var reading = ServerSentEvents()
    var events: [(id: String?, data: [UInt8])] = []
    for byte in "id: 1\r\ndata:a\r\n\r\nid\ndata\ndata: b\nother: x\n\n:\n\ndata: c".utf8 {
      events += reading.take(CollectionOfOne(byte))
    }
    #expect(events.map { $0.id } == ["1", ""])
    #expect(events.map { String(decoding: $0.data, as: UTF8.self) } == ["a", "\nb"])
    #expect(reading.held == 7)
  }
}
