// `GET /events/stream`: what a client hears, where it goes on, and when it is sent away.

internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import NIOCore
internal import Testing

@testable internal import MartletHTTP

@Suite(.timeLimit(.minutes(10))) struct StreamTests {
  private static let kept = Duration.seconds(3600)

  @Test func `without the setting it is 409, whatever else is right`() async throws {
    try await HTTPHarness.run { harness in
      try await harness.get("/events/stream").expectProblem(409, "stream-off")
      try await harness.get("/events/stream?type=martlet.task.deed").expectProblem(422, "invalid")
    }
  }

  @Test(arguments: [
    ("taskId=1", "/query/taskId"), ("type=", "/query/type"), ("type=martlet.task.deed", "/query/type"),
    ("queue=a%20b", "/query/queue"), ("task=1", "/query/task"),
  ])
  func `what is wrong with the query is 422`(query: String, pointer: String) async throws {
    try await HTTPHarness.run(streamKept: Self.kept) { harness in
      let reply = try await harness.get("/events/stream?\(query)")
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == [pointer])
    }
  }

  @Test(arguments: ["x", "-1", "1.5", "99999999999999999999", "1, 2"])
  func `a Last-Event-ID that is none is 422`(text: String) async throws {
    try await HTTPHarness.run(streamKept: Self.kept) { harness in
      let reply = try await harness.get("/events/stream", headers: [("Last-Event-ID", text)])
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/header/Last-Event-ID"])
    }
  }

  @Test func `every event comes as it happens, with its position, its type and the CloudEvent on one line`()
    async throws
  {
    try await Self.serve { harness in
      try await Listener.open(harness) { listener in
        #expect(listener.head.contains("content-type: text/event-stream\r\n"))
        #expect(listener.head.contains("cache-control: no-store\r\n"))
        #expect(listener.head.contains("x-accel-buffering: no\r\n"))
        #expect(listener.head.contains("transfer-encoding: chunked\r\n"))
        let id = try await harness.submitted(#"{"type":"resize","queue":"mail","metadata":{"a":"\"ü"}}"#)
        try await harness.attempt(id, .success)
        let events = try await listener.events(4)
        #expect(events.map(\.id) == ["1", "2", "3", "4"])
        #expect(events.map(\.name) == ["received", "ready", "started", "succeeded"].map { "martlet.task.\($0)" })
        for (index, event) in events.enumerated() {
          let json = try JSONScanner.scan(Array(event.data.utf8))
          #expect(json["specversion"]?.string == "1.0")
          #expect(json["type"]?.string == event.name)
          #expect(json["subject"]?.string == id)
          #expect(json["sequence"]?.string == "000000000\(index + 1)")
          #expect(json["data"]?["queue"]?.string == "mail")
          #expect(json["data"]?["metadata"]?["a"]?.string == "\"ü")
        }
      }
    }
  }

  @Test func `with Last-Event-ID it goes on behind that event, with 0 at the oldest, and else with what comes`()
    async throws
  {
    try await Self.serve { harness in
      let first = try await harness.submitted()
      try await Self.streamed(2, harness)
      try await Listener.open(harness, after: "1") { listener in
        try await listener.hears(["2"])
      }
      try await Listener.open(harness, after: "0") { listener in
        try await listener.hears(["1", "2"])
      }
      try await Listener.open(harness) { listener in
        #expect(listener.beginning == "2", "the place is told at once")
        try await harness.attempt(first, .success)
        try await listener.hears(["3", "4"])
      }
    }
  }

  @Test func `a position that is not kept any more, or never was, is 410`() async throws {
    try await Self.serve { harness in
      _ = try await harness.submitted()
      try await Self.streamed(2, harness)
      #expect(try await harness.store.pruneStream(olderThan: .zero, limit: 1) == 1)
      try await Listener.open(harness, after: "1") { listener in
        try await listener.hears(["2"])
      }
      #expect(try await harness.store.pruneStream(olderThan: .zero, limit: 1) == 1)
      try await harness.get("/events/stream", headers: [("Last-Event-ID", "1")]).expectProblem(410, "position-gone")
      try await harness.get("/events/stream", headers: [("Last-Event-ID", "3")]).expectProblem(410, "position-gone")
      try await Listener.open(harness, after: "2") { #expect($0.beginning == "2") }
      try await Listener.open(harness, after: "0") { #expect($0.beginning == "2") }
    }
  }

  @Test func `task, types and queues choose, alone and together`() async throws {
    try await Self.serve { harness in
      let ids = [
        try await harness.submitted(#"{"type":"resize","queue":"a"}"#),
        try await harness.submitted(#"{"type":"mail","queue":"a"}"#),
        try await harness.submitted(#"{"type":"mail","queue":"b"}"#),
      ]
      try await harness.attempt(ids[1], .success)
      try await Self.streamed(8, harness)
      let expectations: [(String, [String])] = [
        ("taskId=\(ids[2])", ["5", "6"]), ("type=resize", ["1", "2"]), ("type=martlet.task.succeeded", ["8"]),
        ("type=martlet.task.received,mail", ["3", "5"]), ("queue=b", ["5", "6"]),
        ("queue=b,a&type=resize", ["1", "2"]),
        ("type=martlet.task.started,martlet.task.ready&queue=a", ["2", "4", "7"]),
      ]
      for (query, expected) in expectations {
        try await Listener.open(harness, "?\(query)", after: "0") { listener in
          try await listener.hears(expected)
        }
      }
    }
  }

  @Test func `a credential that is bound to queues hears of those alone`() async throws {
    let book = MemoryAPIKeyBook()
    let boss = [("X-API-Key", "the-first-key-of-this-installation")]
    let key = book.add(["viewer"], queues: ["mail*"])
    let auth = AuthConfiguration(apiKeys: true, bootstrapKey: boss[0].1)
    try await Self.serve(configure: { $0.auth = auth }, apiKeys: book) { harness in
      try await Listener.open(harness, headers: [("X-API-Key", key)]) { listener in
        for queue in ["secret", "mail", "secret", "mailing"] {
          _ = try await harness.post("/tasks", #"{"type":"resize","queue":"\#(queue)"}"#, headers: boss)
        }
        try await listener.hears(["3", "4", "7", "8"])
      }
      try await harness.get("/events/stream").expectProblem(401, "unauthenticated")
      let worker = [("X-API-Key", book.add(["worker"], name: "w"))]
      try await harness.get("/events/stream", headers: worker).expectProblem(403, "forbidden")
    }
  }

  @Test func `when its key is revoked the stream ends, and tells nothing more`() async throws {
    let (book, clock) = (MemoryAPIKeyBook(), HandClock())
    let boss = [("X-API-Key", "the-first-key-of-this-installation")]
    let key = book.add(["viewer"], name: "v")
    let auth = AuthConfiguration(apiKeys: true, bootstrapKey: boss[0].1)
    try await Self.serve(configure: { $0.auth = auth }, apiKeys: book, clock: clock) { harness in
      try await Listener.open(harness, headers: [("X-API-Key", key)]) { listener in
        for key in try await book.apiKeys() { _ = try await book.revoke(apiKey: key.id, actor: "api") }
        clock.advance(by: .seconds(5))
        _ = try await harness.post("/tasks", #"{"type":"resize"}"#, headers: boss)
        let rest = try await listener.rest()
        #expect(rest == "0\r\n\r\n")
      }
    }
  }

  @Test func `while nothing happens a comment comes now and then, with the place that was reached`() async throws {
    let clock = HandClock()
    try await Self.serve(engineClock: clock) { harness in
      try await Listener.open(harness, "?queue=other") { listener in
        _ = try await harness.submitted()
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask {
            while !Task.isCancelled {
              clock.advance(by: .milliseconds(250))
              try await Task.sleep(for: .milliseconds(1))
            }
          }
          let text = try await listener.text { $0.contains(": \nid: 2\n\n") }
          #expect(text != nil)
          group.cancelAll()
        }
      }
    }
  }

  @Test func `a shutdown ends streams at once`() async throws {
    try await Self.serve { harness in
      try await Listener.open(harness) { listener in
        await harness.shutDown()
        let rest = try await listener.rest()
        #expect(rest == "0\r\n\r\n")
      }
    }
  }

  @Test func `nobody listens on behalf of a client that has gone`() async throws {
    try await Self.serve { harness in
      let stream = try #require(harness.tasks.stream)
      try await Listener.open(harness) { _ in #expect(stream.listeners == 1) }
      while stream.listeners > 0 { await Task.yield() }
    }
  }

  @Test func `HEAD tells the head, and listens to nothing`() async throws {
    try await Self.serve { harness in
      let reply = try await harness.rawOne("HEAD /events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
      #expect(reply.status == 200)
      #expect(reply.header("content-type") == "text/event-stream")
      #expect(harness.tasks.stream?.listeners == 0)
    }
  }

  @Test func `a client of HTTP/1.0 gets no chunks, and the stream ends with the connection`() async throws {
    try await Self.serve { harness in
      try await RawConnection.open(harness) { connection in
        try await connection.send("GET /events/stream HTTP/1.0\r\nHost: localhost\r\n\r\n")
        let head = try #require(try await connection.text { $0.contains("\n\n") })
        #expect(head.hasPrefix("HTTP/1.0 200"))
        #expect(!head.lowercased().contains("transfer-encoding"))
        #expect(head.hasSuffix("retry: 1000\nid: 0\n\n"))
        _ = try await harness.submitted()
        let text = try #require(try await connection.text { $0.components(separatedBy: "\n\n").count == 3 })
        #expect(text.hasPrefix("id: 1\nevent: martlet.task.received\ndata: {"))
      }
    }
  }

  @Test func `one caller may not have all the streams there are`() async throws {
    let book = MemoryAPIKeyBook()
    let keys = [book.add(["viewer"], name: "a"), book.add(["viewer"], name: "b")]
    try await Self.serve(configure: { $0.auth = AuthConfiguration(apiKeys: true) }, apiKeys: book) { harness in
      let stream = try #require(harness.tasks.stream)
      let caller = Credential(actor: "key:a", roles: [.viewer], keyID: try await book.apiKeys().first?.id)
      var seats: [StreamListener] = []
      for _ in 0..<EventStream.mostOfOneCaller {
        seats.append(try await stream.listen(for: StreamFilter(), after: nil, as: caller))
      }
      let statuses = try await withThrowingTaskGroup(of: String.self) { group in
        for key in keys {
          group.addTask {
            try await RawConnection.open(harness) { connection in
              try await connection.send(
                "GET /events/stream HTTP/1.1\r\nHost: localhost\r\nX-API-Key: \(key)\r\n\r\n")
              return String(try #require(try await connection.text { $0.contains("\r\n\r\n") }).prefix(12))
            }
          }
        }
        return try await group.reduce(into: Set<String>()) { $0.insert($1) }
      }
      #expect(statuses == ["HTTP/1.1 200", "HTTP/1.1 429"])
      #expect(seats.count == EventStream.mostOfOneCaller)
    }
  }

  @Test func `a client that takes nothing is no burden to another, and finds all of it when it goes on`() async throws {
    try await Self.serve { harness in
      try await RawConnection.open(harness) { slow in
        try await slow.channel.setOption(.autoRead, value: false).get()
        try await slow.send("GET /events/stream HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0\r\n\r\n")
        try await Listener.open(harness) { listener in
          let metadata = String(repeating: "x", count: 500)
          var seen = 0
          for _ in 0..<12 {
            let task = #"{"type":"resize","metadata":{"a":"\#(metadata)","b":"\#(metadata)","c":"\#(metadata)"}}"#
            let tasks = [String](repeating: task, count: 200).joined(separator: ",")
            _ = try await harness.post("/tasks/batch", #"{"tasks":[\#(tasks)]}"#)
            seen += try await listener.events(400).count
          }
          #expect(seen == 4800)
        }
        // More than the sockets hold and more than the window has: it is read from the store again.
        try await slow.channel.setOption(.autoRead, value: true).get()
        var text = ""
        while !text.contains("id: 4800\n") {
          text += try #require(try await slow.text { !$0.isEmpty })
        }
        let ids = text.matches(of: /id: (\d+)\nevent/).compactMap { Int($0.1) }
        #expect(ids == Array(1...4800))
      }
    }
  }

  // MARK: Helpers

  private static func serve(
    configure: (inout HTTPConfiguration) -> Void = { _ in }, apiKeys: (any APIKeyBook)? = nil,
    clock: any EngineClock = SystemClock(), engineClock: any EngineClock = EndlessMinutes(),
    _ body: (HTTPHarness) async throws -> Void
  ) async throws {
    try await HTTPHarness.run(
      configure: configure, apiKeys: apiKeys, clock: clock, engineClock: engineClock, streamKept: kept
    ) { harness in
      // What happens before the relay attends is not told.
      while try await harness.store.sinks().isEmpty { await Task.yield() }
      try await body(harness)
    }
  }

  private static func streamed(_ count: Int64, _ harness: HTTPHarness) async throws {
    while try await harness.store.streamPage(after: 0, limit: 0).last < count { await Task.yield() }
  }
}

/// A client of the stream, on a connection of its own.
private struct Listener {
  struct Event: Sendable {
    var id: String
    var name: String
    var data: String
  }

  private let connection: RawConnection
  let head: String
  /// The place that it was told first.
  let beginning: String

  static func open(
    _ harness: HTTPHarness, _ query: String = "", headers: [(String, String)] = [], after: String? = nil,
    _ body: @Sendable (Listener) async throws -> Void
  ) async throws {
    try await RawConnection.open(harness) { connection in
      let lines = (headers + (after.map { [("Last-Event-ID", $0)] } ?? [])).map { "\($0): \($1)\r\n" }.joined()
      try await connection.send("GET /events/stream\(query) HTTP/1.1\r\nHost: localhost\r\n\(lines)\r\n")
      let text = try #require(try await connection.text { $0.contains("\n\n\r\n") })
      let head = String(text.prefix(upTo: text.range(of: "\r\n\r\n")?.lowerBound ?? text.endIndex)) + "\r\n"
      try #require(head.hasPrefix("HTTP/1.1 200"), "\(text)")
      let beginning = try #require(text.firstMatch(of: /retry: 1000\nid: (\d+)\n\n/)).1
      // What came with the beginning is read again.
      try await body(
        Listener(
          connection: connection,
          left: Left(String(text[(text.range(of: "\n\n\r\n")?.upperBound ?? text.endIndex)...])),
          head: head.lowercased(), beginning: String(beginning)))
    }
  }

  private let left: Left

  private init(connection: RawConnection, left: Left, head: String, beginning: String) {
    self.connection = connection
    self.left = left
    self.head = head
    self.beginning = beginning
  }

  /// These positions, and no other.
  func hears(_ ids: [String], sourceLocation: SourceLocation = #_sourceLocation) async throws {
    let heard = try await events(ids.count).map(\.id)
    #expect(heard == ids, sourceLocation: sourceLocation)
  }

  /// Exactly so many: one more is an issue.
  func events(_ count: Int) async throws -> [Event] {
    let text = try #require(try await text { Self.events(in: $0).count >= count })
    let events = Self.events(in: text)
    #expect(events.count == count)
    return events
  }

  func text(until isEnough: (String) -> Bool) async throws -> String? {
    let before = left.take()
    if isEnough(before) { return before }
    return try await connection.text { isEnough(before + $0) }.map { before + $0 }
  }

  /// Until the server has ended the answer.
  func rest() async throws -> String {
    try #require(try await text { $0.hasSuffix("0\r\n\r\n") })
  }

  private static func events(in text: String) -> [Event] {
    // Sizes of chunks stand on lines of their own.
    text.matches(of: /id: (\d+)\nevent: ([a-z.]+)\ndata: (.*)\n\n/).map {
      Event(id: String($0.1), name: String($0.2), data: String($0.3))
    }
  }

  private final class Left: @unchecked Sendable {
    private var text: String

    init(_ text: String) { self.text = text }

    func take() -> String {
      defer { text = "" }
      return text
    }
  }
}
