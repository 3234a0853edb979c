// Paths, methods, request ids and request targets: what holds for every route.

internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

@Suite struct RoutingTests {
  @Test(arguments: [
    "/nothing", "/tasks/", "/tasks//attempts", "/tasks/x/y", "/tasks/x/attempts/1", "/TASKS", "//tasks", "/health",
    "/openapi.yaml", "/docs/", "/schedules/a/b", "/typs", "/setting", "/favicon.ico", "/tasks/../version",
  ])
  func `a path that is not there is 404`(target: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.rawOne("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
      try reply.expectProblem(404, "not-found")
    }
  }

  @Test func `paths beside those of the contract are 404`() async throws {
    try await HTTPHarness.run { harness in
      for target in ["/leases/w1", "/tasks/batch/x", "/nothing"] {
        try await harness.post(target, "{}").expectProblem(404, "not-found")
      }
    }
  }

  @Test(arguments: [
    ("DELETE", "/tasks", "POST, GET, HEAD"), ("PUT", "/tasks", "POST, GET, HEAD"),
    ("DELETE", "/tasks/01890000-0000-7000-8000-000000000000", "GET, HEAD, PATCH"),
    ("GET", "/tasks/01890000-0000-7000-8000-000000000000/cancel", "POST"), ("POST", "/queues", "GET, HEAD"),
    ("OPTIONS", "/tasks", "POST, GET, HEAD"), ("PROPFIND", "/", "GET, HEAD"), ("TRACE", "/version", "GET, HEAD"),
    ("POST", "/health/live", "GET, HEAD"),
  ])
  func `another method is 405 and Allow names those that are taken`(method: String, path: String, allow: String)
    async throws
  {
    try await HTTPHarness.run { harness in
      let reply = try await harness.rawOne(
        "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
      try reply.expectProblem(405, "method-not-allowed")
      #expect(reply.header("allow") == allow)
    }
  }

  @Test func `HEAD answers as GET does, without the body`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      for target in ["/tasks", "/tasks/\(id)", "/workers", "/version", "/health/live", "/", "/docs"] {
        let get = try await harness.get(target)
        let head = try await harness.send("HEAD", target)
        #expect(head.status == get.status)
        #expect(head.bytes.isEmpty)
        #expect(head.header("content-length") == String(get.bytes.count))
        #expect(head.header("content-type") == get.header("content-type"))
      }
      #expect(try await harness.send("HEAD", "/tasks/nonsense").status == 404)
      #expect(try await harness.send("HEAD", "/tasks/\(id)/cancel").status == 405)
    }
  }

  @Test func `the connection goes on after errors and bodies that nobody read`() async throws {
    try await HTTPHarness.run { harness in
      let replies = try await RawConnection.open(harness) { connection in
        try await connection.send(
          """
          GET /tasks?x=1 HTTP/1.1\r
          Host: localhost\r
          \r
          POST /nothing HTTP/1.1\r
          Host: localhost\r
          Content-Length: 5\r
          \r
          12345GET /version HTTP/1.1\r
          Host: localhost\r
          Transfer-Encoding: chunked\r
          \r
          3\r
          abc\r
          0\r
          \r
          GET /version HTTP/1.1\r
          Host: localhost\r
          Connection: Close\r
          \r

          """)
        return try await connection.rest()
      }
      #expect(replies.map(\.status) == [422, 404, 200, 200])
      #expect(replies.last?.header("connection") == "close")
    }
  }

  @Test(arguments: ["abc", "A-Z_0.9~!#$%&()*+,/:;<=>?@[]^`{|}", String(repeating: "x", count: 128)])
  func `a valid X-Request-Id is echoed, on errors too`(id: String) async throws {
    try await HTTPHarness.run { harness in
      for target in ["/version", "/nothing", "/tasks?x=1"] {
        let reply = try await harness.get(target, headers: [("X-Request-Id", id)])
        #expect(reply.header("x-request-id") == id)
        if reply.status >= 400 { #expect(try reply.string("requestId") == id) }
      }
    }
  }

  @Test(arguments: ["", "a b", "a\"b", "a'b", "ä", String(repeating: "x", count: 129)])
  func `an X-Request-Id that is not valid is replaced by a new one`(id: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.get("/version", headers: [("X-Request-Id", id)])
      let given = try #require(reply.header("x-request-id"))
      #expect(given != id)
      #expect(RequestIDs.isValid(given))
    }
  }

  @Test func `every answer has an X-Request-Id of its own and a Date`() async throws {
    try await HTTPHarness.run { harness in
      let raw = try await harness.raw("NONSENSE\r\n\r\n")
      var replies = raw
      for target in ["/version", "/nothing", "/tasks?x=1"] { replies.append(try await harness.get(target)) }
      replies.append(try await harness.send("DELETE", "/tasks"))
      replies.append(try await harness.post("/tasks", "{"))
      #expect(Set(replies.compactMap { $0.header("x-request-id") }).count == replies.count)
      #expect(replies.allSatisfy { $0.header("date")?.hasSuffix(" GMT") == true })
    }
  }

  @Test(arguments: [
    "/tasks/%", "/tasks/%2", "/tasks/%zz", "/tasks?status=%", "/tasks?%zz=1", "/tasks?status=%e2%82", "/tasks/%ff",
    "/tasks/%00", "/tasks?tag=a%00b", "/tasks/a%C0%80", "/tasks#fragment", "*",
  ])
  func `a malformed target is 400, never 5xx`(target: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.rawOne("GET \(target) HTTP/1.1\r\nHost: localhost\r\n\r\n")
      try reply.expectProblem(400, "malformed-request")
    }
  }

  @Test func `bytes beyond ASCII or control characters in the request line are 400`() async throws {
    try await HTTPHarness.run { harness in
      for bad: [UInt8] in [[0xFF], [0xC3, 0xA4], [0x00], [0x7F]] {
        let request =
          Array("GET /tasks/".utf8) + bad + Array(" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8)
        let replies = try await harness.raw(request)
        #expect(replies.count == 1)
        try replies[0].expectProblem(400, "malformed-request")
      }
    }
  }

  @Test func `a path in percent-encoding is the path it encodes`() async throws {
    try await HTTPHarness.run { harness in
      #expect(try await harness.rawOne("GET /t%61sks HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200)
      let id = try await harness.submitted()
      let encoded = id.utf8.map { "%" + String($0, radix: 16) }.joined()
      #expect(try await harness.rawOne("GET /tasks/\(encoded) HTTP/1.1\r\nHost: localhost\r\n\r\n").status == 200)
    }
  }

  @Test func `the absolute form of a target is taken, and its host counts`() async throws {
    try await HTTPHarness.run { harness in
      let own = try await harness.rawOne("GET http://localhost/version HTTP/1.1\r\nHost: elsewhere\r\n\r\n")
      #expect(own.status == 200)
      let other = try await harness.rawOne("GET http://elsewhere/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
      try other.expectProblem(403, "forbidden-host")
    }
  }

  @Test func `the table has no route twice and the tree finds each`() {
    let tree = RouteTree(RouteTable.all)
    for route in RouteTable.all {
      let segments = route.path == "/" ? [] : route.path.dropFirst().split(separator: "/").map(String.init)
      let found = tree.find(segments)
      #expect(found?.place.path == route.path)
      #expect(found?.place.route(route.method)?.path == route.path)
    }
    #expect(Set(RouteTable.all.map { "\($0.method) \($0.path)" }).count == RouteTable.all.count)
  }
}
