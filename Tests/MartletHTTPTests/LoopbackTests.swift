// Without authentication only loopback names are answered, and no web page elsewhere.

internal import Testing

@testable internal import MartletHTTP

@Suite struct LoopbackTests {
  @Test(arguments: [
    "localhost", "LOCALHOST", "localhost:8080", "127.0.0.1", "127.0.0.1:1", "127.1.2.3:65535", "[::1]", "[::1]:8080",
    "app.localhost", "a.b.LocalHost:80",
  ])
  func `loopback names are answered`(host: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.rawOne("GET /version HTTP/1.1\r\nHost: \(host)\r\n\r\n")
      #expect(reply.status == 200)
    }
  }

  @Test(arguments: [
    "example.com", "localhost.example.com", "127.0.0.1.example.com", "127.0.0.1.nip.io", "notlocalhost", "10.0.0.1",
    "0.0.0.0", "128.0.0.1", "127.0.0", "127.0.0.256", "127.0.0.0001", "127.1", "2130706433", "0x7f000001",
    "[::2]", "[::1", "[::ffff:10.0.0.1]", "::1", "localhost:80:80", "localhost:x", "user@localhost",
    "localhost@evil.com",
    "evil.com:80@localhost", "127.0.0.1 evil.com", "",
  ])
  func `any other Host is 403`(host: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.rawOne("GET /version HTTP/1.1\r\nHost: \(host)\r\n\r\n")
      try reply.expectProblem(403, "forbidden-host")
    }
  }

  @Test func `no Host, or two of them, is 400`() async throws {
    try await HTTPHarness.run { harness in
      for hosts in ["", "Host: localhost\r\nHost: localhost\r\n", "Host: localhost\r\nhost: evil.com\r\n"] {
        let reply = try await harness.rawOne("GET /version HTTP/1.1\r\n\(hosts)\r\n")
        try reply.expectProblem(400, "malformed-request")
        #expect(try reply.string("detail").contains("Host"))
      }
    }
  }

  @Test(arguments: [
    ("http://localhost:3000", true), ("https://127.0.0.1", true), ("http://[::1]:80", true),
    ("http://app.localhost", true),
    ("http://evil.com", false), ("https://localhost.evil.com", false), ("null", false), ("file://", false), ("", false),
    ("http://localhost, http://evil.com", false), ("chrome-extension://localhost", false),
    ("http://localhost@evil.com", false),
  ])
  func `a web page is answered only if it comes from loopback itself`(origin: String, isAnswered: Bool) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.rawOne("GET /version HTTP/1.1\r\nHost: localhost\r\nOrigin: \(origin)\r\n\r\n")
      if isAnswered { #expect(reply.status == 200) } else { try reply.expectProblem(403, "forbidden-host") }
    }
  }

  @Test func `a submission from another site is refused before it is read`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", #"{"type":"resize"}"#, headers: [("Origin", "https://evil.com")])
      try reply.expectProblem(403, "forbidden-host")
      #expect(try await harness.get("/tasks").ids.isEmpty)
    }
  }

  @Test func `with authentication every Host and Origin is answered`() async throws {
    try await HTTPHarness.run(configure: { $0.requiresLoopbackHost = false }) { harness in
      let request = "GET /version HTTP/1.1\r\nHost: tasks.example.com\r\nOrigin: https://example.com\r\n\r\n"
      let reply = try await harness.rawOne(request)
      #expect(reply.status == 200)
      try await harness.rawOne("GET /version HTTP/1.1\r\n\r\n").expectProblem(400, "malformed-request")
    }
  }
}
