// Limits before work: sizes and times, by clients that keep to the rules and by clients that do not.

internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

@Suite(.timeLimit(.minutes(10))) struct LimitTests {
  private static let head = "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

  @Test func `a Content-Length over the limit is 413 before any of the body is sent`() async throws {
    try await HTTPHarness.run { harness in
      let replies = try await harness.raw(Self.head + "Content-Length: 8388609\r\n\r\n")
      #expect(replies.count == 1)
      try replies[0].expectProblem(413, "body-too-large")
      #expect(replies[0].header("connection") == "close")
    }
  }

  @Test func `a Content-Length over the limit is 413 on every route, GET and unknown ones too`() async throws {
    try await HTTPHarness.run { harness in
      for line in ["GET /version", "POST /nothing", "DELETE /tasks"] {
        let replies = try await harness.raw(
          "\(line) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        #expect(replies.count == 1)
        try replies[0].expectProblem(413, "body-too-large")
      }
    }
  }

  @Test func `a chunked body is cut at the limit, and its client still gets the answer`() async throws {
    let configure: (inout HTTPConfiguration) -> Void = {
      $0.maxBodyBytes = 10_000
      $0.lingerTime = .seconds(120)
    }
    try await HTTPHarness.run(configure: configure) { harness in
      let chunk = "1000\r\n" + String(repeating: " ", count: 4096) + "\r\n"
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send(Self.head + "Transfer-Encoding: chunked\r\n\r\n")
        await connection.pour(chunk, times: 50)
        await connection.pour("0\r\n\r\n")
        return try await connection.rest()
      }
      #expect(replies.count == 1)
      try replies[0].expectProblem(413, "body-too-large")
    }
  }

  @Test func `a body of exactly the limit is read, one byte more is 413`() async throws {
    try await HTTPHarness.run(configure: { $0.maxBodyBytes = 1000 }) { harness in
      let json = #"{"type":"resize"}"#
      let fitting = json + String(repeating: " ", count: 1000 - json.utf8.count)
      #expect(try await harness.post("/tasks", fitting).status == 201)
      try await harness.post("/tasks", fitting + " ").expectProblem(413, "body-too-large")
    }
  }

  @Test func `a client that sends all of a body that is too large before it reads still gets the answer`() async throws
  {
    try await HTTPHarness.run(configure: { $0.lingerTime = .seconds(120) }) { harness in
      let piece = String(repeating: " ", count: 1024 * 1024)
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send(Self.head + "Content-Length: \(20 * piece.utf8.count)\r\n\r\n")
        await connection.pour(piece, times: 20)
        return try await connection.rest()
      }
      #expect(replies.count == 1)
      try replies[0].expectProblem(413, "body-too-large")
    }
  }

  @Test func `a body shorter than its Content-Length is 400 once its client stops`() async throws {
    try await HTTPHarness.run { harness in
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send(Self.head + "Content-Length: 100\r\n\r\n{\"type\":\"resize\"}")
        connection.finish()
        return try await connection.rest()
      }
      #expect(replies.count == 1)
      try replies[0].expectProblem(400, "malformed-request")
      #expect(try await harness.store.list(TaskQuery()).tasks.isEmpty)
    }
  }

  @Test func `a body that does not arrive in time is 408 and the connection ends`() async throws {
    try await HTTPHarness.run(configure: { $0.bodyDeadline = .milliseconds(100) }) { harness in
      let replies = try await harness.raw(Self.head + "Content-Length: 100\r\n\r\n{")
      #expect(replies.count == 1)
      try replies[0].expectProblem(408, "request-timeout")
      #expect(replies[0].header("connection") == "close")
      #expect(try replies[0].object["retryable"] as? Bool == true)
    }
  }

  @Test func `a body that trickles does not gain time by each byte`() async throws {
    try await HTTPHarness.run(configure: { $0.bodyDeadline = .milliseconds(300) }) { harness in
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send(Self.head + "Content-Length: 100000\r\n\r\n")
        return try await withThrowingTaskGroup(of: [Reply]?.self) { group in
          group.addTask { try await connection.replies(1) }
          group.addTask {
            // The trickle is the subject here: many bytes, each well within the deadline of the one before.
            while !Task.isCancelled {
              try? await connection.send(" ")
              try? await Task.sleep(for: .milliseconds(20))
            }
            return nil
          }
          let replies = try await group.next() ?? nil
          group.cancelAll()
          return replies ?? []
        }
      }
      #expect(replies.count == 1)
      try replies[0].expectProblem(408, "request-timeout")
    }
  }

  @Test func `the deadline is of each request, not of the connection`() async throws {
    try await HTTPHarness.run(configure: { $0.bodyDeadline = .seconds(30) }) { harness in
      let body = #"{"type":"resize"}"#
      try await RawConnection.open(harness) { connection in
        // Heads and bodies apart, so that the timer runs; over longer than one deadline in all.
        for _ in 1...8 {
          try await connection.send(Self.head + "Content-Length: \(body.utf8.count)\r\n\r\n")
          try await Task.sleep(for: .seconds(4))
          try await connection.send(body)
          #expect(try await connection.replies(1)[0].status == 201)
        }
      }
    }
  }

  @Test func `a silent connection is closed, and one that never ends its head`() async throws {
    try await HTTPHarness.run(configure: { $0.idleTimeout = .milliseconds(100) }) { harness in
      let silent = try await harness.raw("")
      #expect(silent.isEmpty)
      let endless = try await harness.raw("GET /version HTTP/1.1\r\nHost: local")
      #expect(endless.allSatisfy { $0.status == 400 })
    }
  }

  @Test func `a connection is kept for the idle timeout after an answer, and then closed`() async throws {
    try await HTTPHarness.run(configure: { $0.idleTimeout = .seconds(30) }) { harness in
      let request = "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send(request)
        let first = try await connection.replies(1)
        try await connection.send(request)
        return try await first + connection.rest()
      }
      #expect(replies.map(\.status) == [200, 200])
    }
  }

  @Test func `a long poll outlives the idle timeout`() async throws {
    try await HTTPHarness.run(configure: { $0.idleTimeout = .seconds(30) }) { harness in
      let id = try await harness.submitted()
      let reply = try await harness.rawOne("GET /tasks/\(id)?waitSeconds=36 HTTP/1.1\r\nHost: localhost\r\n\r\n")
      #expect(reply.status == 200)
    }
  }

  @Test func `a head that is too large is 431`() async throws {
    try await HTTPHarness.run { harness in
      let start = "GET /version HTTP/1.1\r\nHost: localhost\r\n"
      let many = String(repeating: "X: y\r\n", count: 200)
      for request in [
        start + "X: \(String(repeating: "x", count: 20_000))\r\n\r\n", start + many + "\r\n",
        "GET /\(String(repeating: "x", count: 100_000)) HTTP/1.1\r\nHost: localhost\r\n\r\n",
      ] {
        let replies = try await harness.raw(request)
        #expect(replies.count == 1)
        try replies[0].expectProblem(431, "headers-too-large")
      }
    }
  }

  @Test(arguments: [
    "NONSENSE\r\n\r\n", "GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", "GET /\r\n\r\n",
    "FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}",
    "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
    "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
  ])
  func `what is no HTTP request is 400 as a problem document, and the connection ends`(request: String) async throws {
    try await HTTPHarness.run { harness in
      let replies = try await harness.raw(request)
      #expect(replies.count == 1)
      try replies[0].expectProblem(400, "malformed-request")
      #expect(replies[0].header("connection") == "close")
    }
  }

  @Test func `garbage behind good requests is answered after them`() async throws {
    try await HTTPHarness.run { harness in
      let good = "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
      let replies = try await harness.raw(good + good + "NONSENSE\r\n\r\n")
      #expect(replies.map(\.status) == [200, 200, 400])
    }
  }

  @Test func `pipelined requests are answered in order`() async throws {
    try await HTTPHarness.run { harness in
      let replies = try await RawConnection.open(harness) { connection in
        for index in 1...20 {
          try await connection.send("GET /version HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r\(index)\r\n\r\n")
        }
        return try await connection.replies(20)
      }
      #expect(replies.compactMap { $0.header("x-request-id") } == (1...20).map { "r\($0)" })
    }
  }

  @Test func `Expect 100-continue is answered before the body, and not for a body that nobody wants`() async throws {
    try await HTTPHarness.run { harness in
      let body = #"{"type":"resize"}"#
      let expect = "Expect: 100-continue\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
      try await RawConnection.open(harness) { connection in
        try await connection.send(Self.head + expect)
        #expect(try await connection.replies(1)[0].status == 100)
      }
      let replies = try await harness.raw("POST /tasks HTTP/1.1\r\nHost: localhost\r\n" + expect)
      #expect(replies.count == 1)
      try replies[0].expectProblem(415, "unsupported-media-type")
      #expect(replies[0].header("connection") == "close")
    }
  }

  @Test func `a client that asked to close gets its answer before its body, and the close after it`() async throws {
    try await HTTPHarness.run { harness in
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send(
          "POST /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 5\r\n\r\n")
        let early = try await connection.replies(1)
        try await connection.send("12345")
        return try await early + connection.rest()
      }
      #expect(replies.map(\.status) == [404])
    }
  }

  @Test func `HTTP 1.0 is answered and closed`() async throws {
    try await HTTPHarness.run { harness in
      let replies = try await harness.raw("GET /version HTTP/1.0\r\nHost: localhost\r\n\r\n")
      #expect(replies.map(\.status) == [200])
      #expect(replies[0].header("connection") == "close")
    }
  }

  @Test(arguments: [
    "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  ])
  func `a request for another protocol is answered in this one, and closed`(request: String) async throws {
    try await HTTPHarness.run { harness in
      let replies = try await harness.raw(request)
      #expect(replies.count == 1)
      #expect(replies.first?.header("connection") == "close")
    }
  }

  @Test func `a client that leaves in the middle harms nobody`() async throws {
    try await HTTPHarness.run { harness in
      for start in [
        "", "GET ", Self.head, Self.head + "Content-Length: 9\r\n\r\n{",
        "GET /tasks HTTP/1.1\r\nHost: localhost\r\n\r\n",
      ] {
        try await RawConnection.open(harness) { try await $0.send(start) }
      }
      #expect(try await harness.get("/version").status == 200)
    }
  }

  @Test func `many idle connections keep nobody out for longer than they may be idle`() async throws {
    let configure: (inout HTTPConfiguration) -> Void = {
      $0.mostConnections = 8
      $0.idleTimeout = .seconds(5)
    }
    try await HTTPHarness.run(configure: configure) { harness in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<40 { group.addTask { _ = try await harness.raw("") } }
        // Behind all of them in the backlog.
        for _ in 0..<4 {
          group.addTask {
            var replies: [Reply] = []
            // On a busy machine its own turn, too, may be over before it has said anything.
            while replies.isEmpty {
              replies = try await harness.raw("GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            }
            #expect(replies.map(\.status) == [200])
          }
        }
        try await group.waitForAll()
      }
    }
  }

  @Test func `a thousand idle connections cost those who work nothing but their memory`() async throws {
    try await HTTPHarness.run { harness in
      let open = AsyncStream<Void>.makeStream()
      let (waiting, done) = AsyncStream.makeStream(of: Void.self)
      try await withThrowingTaskGroup(of: Void.self) { group in
        // Fewer than the open files of a machine with the least limit.
        let count = min(1000, ConnectionLimits.mostConnections - 32) / 2
        var opened = open.stream.makeAsyncIterator()
        for _ in 0..<count {
          group.addTask {
            // Also where it could not be opened, which ends the test and does not keep it waiting.
            defer { open.continuation.yield() }
            try await RawConnection.open(harness) { connection in
              try await connection.send("GET /ver")
              open.continuation.yield()
              for await _ in waiting {}
            }
          }
          // One after the other: what the system drops because too many knock at once, it only tries again seconds later.
          await opened.next()
        }
        for _ in 0..<20 { #expect(try await harness.get("/version").status == 200) }
        done.finish()
        try await group.waitForAll()
      }
    }
  }

  @Test func `a header that trickles is closed when its time is over`() async throws {
    try await HTTPHarness.run(configure: { $0.idleTimeout = .milliseconds(400) }) { harness in
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send("GET /version HTTP/1.1\r\nHost: localhost\r\n")
        return try await withThrowingTaskGroup(of: [Reply]?.self) { group in
          group.addTask { try await connection.rest() }
          group.addTask {
            // The trickle is the subject here: each line comes well within the time.
            while !Task.isCancelled {
              try? await connection.send("X: y\r\n")
              try? await Task.sleep(for: .milliseconds(30))
            }
            return nil
          }
          let replies = try await group.next() ?? nil
          group.cancelAll()
          return replies ?? []
        }
      }
      #expect(replies.allSatisfy { $0.status == 400 || $0.status == 408 })
    }
  }

  @Test func `who sends a hundred megabytes without reading is refused and gets the answer`() async throws {
    try await HTTPHarness.run(configure: { $0.lingerTime = .seconds(120) }) { harness in
      let head = Self.head + "Transfer-Encoding: chunked\r\n\r\n"
      let chunk = "100000\r\n" + String(repeating: " ", count: 1 << 20) + "\r\n"
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send(head)
        await connection.pour(chunk, times: 100)
        return try await connection.replies(1)
      }
      try replies[0].expectProblem(413, "body-too-large")
    }
  }
}
