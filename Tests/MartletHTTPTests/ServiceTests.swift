// The server as a service: listening, failing to, and draining.

internal import Logging
internal import MartletCore
internal import MartletEngine
internal import MartletHTTP
internal import MartletTestKit
internal import Testing

private let noHost = String(repeating: "x", count: 64) + ".invalid"

@Suite(.timeLimit(.minutes(10))) struct ServiceTests {
  @Test func `port 0 takes a free port and tells which`() async throws {
    try await HTTPHarness.run { first in
      #expect(first.host == "127.0.0.1")
      #expect(first.port > 0)
      try await HTTPHarness.run { second in
        #expect(second.port != first.port)
      }
    }
  }

  @Test func `a port in use fails with one clear line`() async throws {
    try await HTTPHarness.run { harness in
      let failure = try await #require(throws: ListenFailure.self) {
        try await HTTPHarness.run(configure: { $0.port = harness.port }) { _ in }
      }
      #expect("\(failure)" == "cannot listen on 127.0.0.1:\(harness.port): address already in use")
    }
  }

  @Test(arguments: [
    ("192.0.2.1", 0, "cannot listen on 192.0.2.1:0: the address is not one of this machine's"),
    // Longer than a part of a name may be: no resolver is asked.
    (noHost, 0, "cannot listen on \(noHost):0: the host name is not known"),
    ("127.0.0.1", 65_536, "cannot listen on 127.0.0.1:65536: a port is a number from 0 to 65535"),
    ("::1", -1, "cannot listen on [::1]:-1: a port is a number from 0 to 65535"),
  ])
  func `an address that cannot be had fails with one clear line`(host: String, port: Int, line: String) async throws {
    let failure = try await #require(throws: ListenFailure.self) {
      try await HTTPHarness.run(configure: {
        $0.host = host
        $0.port = port
      }) { _ in }
    }
    #expect("\(failure)" == line)
  }

  @Test func `nobody waits for a task on behalf of a client that has gone`() async throws {
    let lookUps = LookUps()
    try await HTTPHarness.run(wrap: lookUps.watch) { harness in
      let id = try await harness.submitted()
      try await RawConnection.open(harness) { connection in
        try await connection.send("GET /tasks/\(id)?waitSeconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await lookUps.first()
      }
      while !harness.registry.render().contains(#"route="/tasks/{id}""#) { await Task.yield() }
    }
  }

  @Test func `a graceful shutdown answers long polls at once and takes no new connection`() async throws {
    let lookUps = LookUps()
    try await HTTPHarness.run(wrap: lookUps.watch) { harness in
      let id = try await harness.submitted()
      let reply = try await RawConnection.open(harness) { connection in
        try await connection.send("GET /tasks/\(id)?waitSeconds=60 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await lookUps.first()
        await harness.shutDown()
        let replies = try await connection.rest()
        #expect(replies.count == 1)
        return replies.first
      }
      #expect(reply?.status == 200)
      #expect(try reply?.string("status") == "READY")
      // The port may be another server's by now, which does not know the task.
      let late = try? await harness.rawOne("GET /tasks/\(id) HTTP/1.1\r\nHost: localhost\r\n\r\n")
      #expect(late?.status != 200)
    }
  }

  @Test func `a request that has begun is finished during a shutdown`() async throws {
    try await HTTPHarness.run { harness in
      let body = #"{"type":"resize"}"#
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send(
          "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
            + "Content-Length: \(body.utf8.count)\r\n\r\n")
        // The server reads the body from here on.
        #expect(try await connection.replies(1)[0].status == 100)
        await harness.shutDown()
        try await connection.send(body)
        return try await connection.rest()
      }
      #expect(replies.map(\.status) == [201])
    }
  }

  @Test func `idle connections do not hold up a shutdown`() async throws {
    try await HTTPHarness.run { harness in
      try await RawConnection.open(harness) { connection in
        try await connection.send("GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(try await connection.replies(1)[0].status == 200)
        await harness.shutDown()
        #expect(try await connection.rest().isEmpty)
      }
    }
  }
}
