// WEBHOOK_CALL against a real server: what it sends, what it makes of each answer, and what it refuses to send.

import Foundation
import MartletCore
import MartletEngine
import NIOHTTP1
import ScriptedServer
import Synchronization
import Testing

@testable import Martlet

private func withWebhook<Result>(
  targets: PrivateTargets = PrivateTargets(areAllowed: true), clock: any EngineClock = StoppedClock(),
  _ body: (WebhookCall) async throws -> Result
) async throws -> Result {
  let http = OutgoingHTTP(targets: targets, clock: clock)
  do {
    let result = try await body(WebhookCall(http: http, clock: clock))
    await http.shutdown()
    return result
  } catch {
    await http.shutdown()
    throw error
  }
}

/// One call to a server that answers so.
private func call(
  _ answers: [HookServer.Answer], _ fields: String = "", _ attempt: Attempt = Attempt()
) async throws -> (Ended, [HookServer.Request]) {
  try await HookServer.run(answers) { server in
    try await withWebhook { webhook in
      let ended = await run(webhook, "{\"url\":\"\(server.url("/hook?a=b"))\"\(fields)}", attempt)
      return (ended, server.requests)
    }
  }
}

private func failure(_ ended: Ended) throws -> TaskFailure {
  guard case .failed(let failure) = ended else {
    Issue.record("did not fail: \(ended)")
    throw CancellationError()
  }
  return failure
}

@Suite("A webhook call", .timeLimit(.minutes(10)))
struct WebhookCallTests {
  @Test("posts the body exactly as it was submitted, with the task's identity")
  func request() async throws {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    let (ended, requests) = try await call(
      [.reply(200, body: "thanks")],
      #", "extra": 1, "headers": {"Authorization": "Bearer x"}, "body": {"n": 1.50, "big": 12345678901234567890}"#,
      Attempt(number: 3, traceparent: trace))
    guard case .success(let result) = ended else { throw failureOf(ended) }
    #expect(result.text == #"{"body":"thanks","status":200}"#)
    let request = try #require(requests.first)
    #expect(requests.count == 1)
    #expect(request.method == "POST" && request.uri == "/hook?a=b")
    #expect(request.body == #"{"n": 1.50, "big": 12345678901234567890}"#)
    #expect(request.headers["content-type"] == ["application/json"])
    #expect(request.headers["content-length"] == ["40"])
    #expect(request.headers["authorization"] == ["Bearer x"])
    #expect(request.headers["idempotency-key"] == [Attempt.taskID.description])
    #expect(request.headers["x-martlet-attempt"] == ["3"])
    #expect(request.headers["traceparent"] == [trace])
    #expect(request.headers["user-agent"] == ["Martlet"])
  }

  @Test("sends a text as text, and the content type that was asked for")
  func textBody() async throws {
    let (_, plain) = try await call([.reply(204)], #", "method": "put", "body": "a\nb""#)
    #expect(plain.first?.method == "PUT" && plain.first?.body == "a\nb")
    #expect(plain.first?.headers["content-type"] == ["text/plain; charset=utf-8"])
    let (_, xml) = try await call([.reply(204)], #", "headers": {"content-type": "text/xml"}, "body": "<a/>""#)
    #expect(xml.first?.headers["content-type"] == ["text/xml"])
  }

  @Test("needs no body", arguments: ["", #", "body": null"#])
  func noBody(field: String) async throws {
    let (ended, requests) = try await call([.reply(201)], field)
    guard case .success(let result) = ended else { throw failureOf(ended) }
    #expect(result.text == #"{"body":"","status":201}"#)
    #expect(requests.first?.body == "" && requests.first?.headers["content-type"] == [])
    #expect(requests.first?.headers["traceparent"] == [])
  }

  @Test("fails to be retried by every answer but 2xx, and succeeds when one comes")
  func retries() async throws {
    try await HookServer.run([.reply(500, body: "oops"), .reply(500), .reply(200)]) { server in
      try await withWebhook { webhook in
        let payload = "{\"url\":\"\(server.url())\"}"
        let first = try failure(await run(webhook, payload))
        #expect(first.isRetryable && first.retryAfter == nil)
        #expect(first.error.type == "HTTP_500" && first.error.message == "answered 500: oops")
        #expect(try failure(await run(webhook, payload, Attempt(number: 2))).isRetryable)
        let third = await run(webhook, payload, Attempt(number: 3))
        guard case .success = third else { throw failureOf(third) }
        #expect(server.requests.map { $0.headers["x-martlet-attempt"] } == [["1"], ["2"], ["3"]])
        #expect(Set(server.requests.map { $0.headers["idempotency-key"] }).count == 1)
      }
    }
  }

  @Test("is retried by answers that say it is the caller's fault, too", arguments: [400, 401, 404, 409, 429, 304])
  func clientErrors(status: Int) async throws {
    let failure = try failure(await call([.reply(status)]).0)
    #expect(failure.isRetryable && failure.error.type == "HTTP_\(status)")
  }

  @Test("is given up by 410 and by the statuses that the payload lists")
  func permanent() async throws {
    #expect(try failure(await call([.reply(410)]).0).isRetryable == false)
    #expect(try failure(await call([.reply(404)], #", "nonRetryableStatuses": [404, 422]"#).0).isRetryable == false)
    #expect(try failure(await call([.reply(400)], #", "nonRetryableStatuses": [404, 422]"#).0).isRetryable)
  }

  @Test("waits as long as the answer asks for")
  func retryAfter() async throws {
    #expect(try failure(await call([.reply(503, [("Retry-After", "120")])]).0).retryAfter == .seconds(120))
    let dated = [("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Retry-After", "Sun, 06 Nov 1994 08:50:07 GMT")]
    #expect(try failure(await call([.reply(429, dated)]).0).retryAfter == .seconds(30))
  }

  @Test("keeps the first 64 KiB of an answer, and asks for no more of one that does not end")
  func oversize() async throws {
    guard case .success(let result) = try await call([.endless]).0 else { throw CancellationError() }
    let body = try #require(result["body"] as? String)
    #expect(body.utf8.count <= 65_536 && body.utf8.count > 65_500)
    #expect(body.allSatisfy { $0 == "é" })
    #expect(result["bodyTruncated"] as? Bool == true)
  }

  @Test("cuts an answer between characters, wherever the limit falls", arguments: 0..<4)
  func cutting(offset: Int) async throws {
    let text = String(repeating: "x", count: offset) + String(repeating: "🦅", count: 20_000)
    guard case .success(let result) = try await call([.reply(200, body: text)]).0 else { throw CancellationError() }
    let body = try #require(result["body"] as? String)
    #expect(text.hasPrefix(body) && body.utf8.count > 65_530)
  }

  @Test("keeps an answer of exactly 64 KiB whole")
  func exactSize() async throws {
    let text = String(repeating: "x", count: 65_536)
    guard case .success(let result) = try await call([.reply(200, body: text)]).0 else { throw CancellationError() }
    #expect(result["body"] as? String == text && result["bodyTruncated"] == nil)
  }

  @Test("keeps an answer that is no text within the size of a result")
  func binaryAnswer() async throws {
    let text = String(repeating: "\u{0}\u{1B}", count: 32_768)
    guard case .success(let result) = try await call([.reply(200, body: text)]).0 else { throw CancellationError() }
    #expect((result["body"] as? String)?.allSatisfy { $0 == "\u{FFFD}" } == true)
  }

  @Test("follows a redirect on the same host, with method and body", arguments: [301, 302, 307, 308])
  func redirect(status: Int) async throws {
    let (ended, requests) = try await call(
      [.reply(status, [("Location", "/there?x=1")]), .reply(200)], #", "body": "b""#)
    guard case .success = ended else { throw failureOf(ended) }
    #expect(requests.map(\.uri) == ["/hook?a=b", "/there?x=1"])
    #expect(requests.map(\.method) == ["POST", "POST"] && requests.map(\.body) == ["b", "b"])
    #expect(requests[1].headers["idempotency-key"] == [Attempt.taskID.description])
  }

  @Test("only looks where a 303 says that the answer is")
  func seeOther() async throws {
    let (_, requests) = try await call([.reply(303, [("Location", "/result")]), .reply(200)], #", "body": "b""#)
    #expect(requests.map(\.method) == ["POST", "GET"] && requests.map(\.body) == ["b", ""])
  }

  @Test(
    "follows no redirect to another host, port or scheme",
    arguments: [
      "http://localhost:PORT/", "//127.0.0.2:PORT/", "http://localhost:1/", "http://127.0.0.1:1/", "https://127.0.0.1/",
      "//127.0.0.2/", "ftp://127.0.0.1/",
    ])
  func foreignRedirect(location: String) async throws {
    let (ended, requests) = try await call([.reply(302, [("Location", location)]), .reply(200)])
    let failure = try failure(ended)
    #expect(failure.isRetryable && failure.error.type == "HTTP_302")
    #expect(failure.error.message.contains("redirects to another host are not followed"))
    #expect(requests.count == 1)
  }

  @Test("follows at most three redirects")
  func redirectLoop() async throws {
    let (ended, requests) = try await call([.reply(302, [("Location", "/again")])])
    #expect(try failure(ended).error.message.contains("redirects more than 3 times"))
    #expect(requests.count == 4)
  }

  @Test("is retried when the connection is refused or breaks off")
  func networkErrors() async throws {
    let closed = try failure(await call([.close]).0)
    #expect(closed.isRetryable && closed.error.type == "NETWORK_ERROR")
    let port = try ScriptedServer.deafPort()
    let refused = try await withWebhook { await run($0, "{\"url\":\"http://127.0.0.1:\(port)/\"}") }
    #expect(try failure(refused).error.type == "NETWORK_ERROR" && failure(refused).isRetryable)
    #expect(try failure(refused).error.message == "Connection refused")
    let byName = try await withWebhook { await run($0, "{\"url\":\"http://localhost:\(port)/\"}") }
    #expect(try failure(byName).error.message == "Connection refused")
  }

  @Test("is retried when there is no agreement on encryption")
  func noTLS() async throws {
    try await HookServer.run([.reply(200)]) { server in
      let ended = try await withWebhook { await run($0, "{\"url\":\"https://127.0.0.1:\(server.port)/\"}") }
      #expect(try failure(ended).error.type == "NETWORK_ERROR" && failure(ended).isRetryable)
    }
  }

  @Test("is retried when a host has no address, whoever looks it up", arguments: [false, true])
  func unknownHost(areAllowed: Bool) async throws {
    let targets = PrivateTargets(areAllowed: areAllowed)
    // Longer than a part of a name may be: no resolver is asked.
    let host = String(repeating: "x", count: 64) + ".invalid"
    let ended = try await withWebhook(targets: targets) { await run($0, "{\"url\":\"http://\(host)/\"}") }
    #expect(try failure(ended).error.type == "DNS_FAILED" && failure(ended).isRetryable)
    #expect(try failure(ended).error.message.hasPrefix("\(host) cannot be resolved"))
  }

  @Test(
    "ends when its time is over, in the middle of silence and in the middle of an answer", arguments: [false, true])
  func timeout(midway: Bool) async throws {
    let clock = StoppedClock()
    func payload(_ server: HookServer) -> String { "{\"url\":\"\(server.url())\",\"timeoutSeconds\":2.5}" }
    let ended = try await HookServer.run(
      [midway ? .half : .silence], onRequest: { clock.wake() },
      serving: { server in try await withWebhook(clock: clock) { await run($0, payload(server)) } })
    let failure = try failure(ended)
    #expect(failure.isRetryable && failure.error.type == "REQUEST_TIMEOUT")
    #expect(failure.error.message == "no full answer within 2.5 s")
  }

  @Test("stops as soon as the attempt is no longer wanted", arguments: [false, true])
  func cancellation(midway: Bool) async throws {
    let (arrivals, arrived) = AsyncStream.makeStream(of: Void.self)
    let ended = try await HookServer.run(
      [midway ? .half : .silence], onRequest: { arrived.yield() },
      serving: { server in
        try await withWebhook { webhook in
          await cancelled(after: arrivals) { await run(webhook, "{\"url\":\"\(server.url())\"}") }
        }
      })
    guard case .cancelled = ended else { throw failureOf(ended) }
  }

  @Test("stops at once while a name is being resolved")
  func cancelledResolution() async throws {
    let (calls, called) = AsyncStream.makeStream(of: Void.self)
    let targets = PrivateTargets(
      areAllowed: false,
      resolve: { _ in
        called.yield()
        try await StoppedClock().sleep(for: .seconds(1))
        return []
      })
    let ended = try await withWebhook(targets: targets) { webhook in
      await cancelled(after: calls) { await run(webhook, #"{"url":"http://slow.example/"}"#) }
    }
    guard case .cancelled = ended else { throw failureOf(ended) }
  }

  /// What an attempt comes to that is cancelled as soon as the stream says something.
  private func cancelled(
    after events: AsyncStream<Void>, _ attempt: @escaping @Sendable () async -> Ended
  ) async -> Ended {
    await withTaskGroup(of: Ended.self) { group in
      group.addTask { await attempt() }
      for await _ in events { break }
      group.cancelAll()
      return await group.next() ?? .cancelled
    }
  }
}

@Suite("A webhook call to a private target")
struct WebhookTargetTests {
  @Test(
    "is refused for good, in every spelling of the address",
    arguments: [
      "http://127.0.0.1:1/", "http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/",
      "http://localhost/", "http://LOCALHOST:80/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://0/",
      "http://[::]/",
      "http://169.254.169.254/latest/meta-data/", "https://10.0.0.1/", "http://[fd00:ec2::254]/",
    ])
  func refused(url: String) async throws {
    let ended = try await withWebhook(targets: PrivateTargets(areAllowed: false)) {
      await run($0, "{\"url\":\"\(url)\"}")
    }
    let failure = try failure(ended)
    #expect(!failure.isRetryable && failure.error.type == "TARGET_REFUSED", "\(failure.error)")
  }

  @Test("is refused by name when all of its addresses are private, and says which")
  func refusedByName() async throws {
    let targets = PrivateTargets(
      areAllowed: false, resolve: { _ in [IPAddress("10.1.2.3")].compactMap(\.self) })
    let ended = try await withWebhook(targets: targets) { await run($0, #"{"url":"http://intra.example/"}"#) }
    #expect(
      try failure(ended).error.message
        == "intra.example is 10.1.2.3, a private address; network.allowPrivateTargets does not allow calls there")
  }

  @Test("goes to the address that was looked at and to no other, under the name that was asked for")
  func pinned() async throws {
    let asked = Mutex<[String]>([])
    let targets = PrivateTargets(
      areAllowed: false, refusal: { $0.description == "127.0.0.1" ? nil : "not the one" },
      resolve: { host in
        asked.withLock { $0.append(host) }
        // A name that changes its mind: whoever asks twice is led astray.
        let turn = asked.withLock { $0.count }
        return (turn == 1 ? ["10.0.0.1", "127.0.0.1"] : ["127.0.0.2"]).compactMap { IPAddress($0) }
      })
    try await HookServer.run([.reply(307, [("Location", "/2")]), .reply(200)]) { server in
      try await withWebhook(targets: targets) { webhook in
        let ended = await run(webhook, "{\"url\":\"http://Hook.Example:\(server.port)/1\"}")
        guard case .success = ended else { throw failureOf(ended) }
        #expect(asked.withLock { $0 } == ["hook.example"])
        #expect(server.requests.map(\.uri) == ["/1", "/2"])
        #expect(
          server.requests.map { $0.headers["host"] } == Array(repeating: ["hook.example:\(server.port)"], count: 2))
      }
    }
  }

  @Test("tries the next address when nobody listens at the first")
  func nextAddress() async throws {
    let targets = PrivateTargets(
      areAllowed: false, refusal: { _ in nil },
      resolve: { _ in ["127.0.0.9", "127.0.0.1"].compactMap { IPAddress($0) } })
    try await HookServer.run([.reply(200)]) { server in
      // Connecting has ten seconds, which may be too few on a loaded machine. A refusal takes no time, and is not tried again.
      var ended = Ended.cancelled
      for _ in 0..<10 {
        ended = try await withWebhook(targets: targets) {
          await run($0, "{\"url\":\"http://hook.example:\(server.port)/\"}")
        }
        guard case .failed(let failure) = ended, failure.error.message == "Connect timeout" else { break }
      }
      guard case .success = ended else { throw failureOf(ended) }
    }
  }

  @Test("tries no other address once a request was sent")
  func noSecondDelivery() async throws {
    let targets = PrivateTargets(
      areAllowed: false, refusal: { _ in nil },
      resolve: { _ in ["127.0.0.1", "127.0.0.1"].compactMap { IPAddress($0) } })
    try await HookServer.run([.close]) { server in
      let ended = try await withWebhook(targets: targets) {
        await run($0, "{\"url\":\"http://hook.example:\(server.port)/\"}")
      }
      #expect(try failure(ended).error.type == "NETWORK_ERROR")
      #expect(server.requests.count == 1)
    }
  }
}

@Suite("The payload of a webhook call")
struct WebhookPayloadTests {
  private func problems(_ fields: String) async throws -> [String] {
    try await withWebhook { try MartletTests.problems($0, "{\(fields)}") }
  }

  private let url = #""url": "http://example.com/""#

  @Test(
    "may be any http or https URL",
    arguments: [
      "http://example.com", "https://example.com:8443/a/b?c=d&e[]=f#g", "HTTP://EXAMPLE.COM/%20",
      "http://[2001:db8::1]:80/",
      "http://10.0.0.1", "http://a_b.example/",
    ])
  func goodURLs(url: String) async throws {
    #expect(try await problems("\"url\": \"\(url)\"") == [])
  }

  @Test(
    "is refused for what is no such URL",
    arguments: [
      "", "example.com", "/path", "ftp://example.com/", "file:///etc/passwd", "unix:///x", "http+unix://%2Fx/",
      "http://",
      "http:///x", "http://user@example.com/", "http://user:pw@example.com/", "http://example.com:0/",
      "http://example.com:65536/", "http://example.com:99999/", "http://example.com:-1/", "http://exa mple.com/",
      "http://example.com/a b", "http://example.com\\\\@127.0.0.1/", "http://example.com\\r\\nX: y/",
      "http://exämple.com/",
      "http://[fe80::1%25eth0]/", "http://[::1/", "http://a%2Fb/", "javascript:alert(1)", "https:example.com",
    ])
  func badURLs(url: String) async throws {
    let problem = "/url must be an http or https URL with a host, without user and password"
    #expect(try await problems("\"url\": \"\(url)\"") == [problem])
  }

  @Test("is refused for headers that would break out of their line or belong to the connection")
  func headers() async throws {
    #expect(
      try await problems(
        url + #", "headers": {"A": "x\r\nEvil: 1", "B\nC": "x", "": "x", "Host": "y", "content-LENGTH": "1","#
          + #" "Transfer-Encoding": "chunked", "Connection": "x", "Proxy-Authorization": "x", "Idempotency-Key": "x","#
          + #" "X-Martlet-Attempt": "9", "traceparent": "x", "d": "1", "D": "2", "E": "\u0000"}"#) == [
          "/headers/ is not the name of a header",
          "/headers/A must be at most 8192 bytes without line ends and control characters",
          "/headers/B\nC is not the name of a header",
          "/headers/Connection cannot be set: it belongs to the connection or to Martlet",
          "/headers/E must be at most 8192 bytes without line ends and control characters",
          "/headers/Host cannot be set: it belongs to the connection or to Martlet",
          "/headers/Idempotency-Key cannot be set: it belongs to the connection or to Martlet",
          "/headers/Proxy-Authorization cannot be set: it belongs to the connection or to Martlet",
          "/headers/Transfer-Encoding cannot be set: it belongs to the connection or to Martlet",
          "/headers/X-Martlet-Attempt cannot be set: it belongs to the connection or to Martlet",
          "/headers/content-LENGTH cannot be set: it belongs to the connection or to Martlet",
          "/headers/d is given twice",
          "/headers/traceparent cannot be set: it belongs to the connection or to Martlet",
        ])
  }

  @Test(
    "is told what is wrong with each field",
    arguments: [
      (#""#, "/url is required"), (#""url": 5"#, "/url must be a string"), (#""url": null"#, "/url is required"),
      (#""method": "CONNECT""#, "/method must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
      (#""method": "GET\r\nX: y""#, "/method must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
      (#""method": "GET", "body": {}"#, "/body cannot be sent with GET"),
      (#""headers": []"#, "/headers must be an object of strings"),
      (#""headers": {"A": 1}"#, "/headers/A must be a string"),
      (#""timeoutSeconds": 0"#, "/timeoutSeconds must be from 0.001 to 3600"),
      (#""timeoutSeconds": "5""#, "/timeoutSeconds must be a number"),
      (#""nonRetryableStatuses": 404"#, "/nonRetryableStatuses must be an array of HTTP statuses from 300 to 599"),
      (#""nonRetryableStatuses": [200]"#, "/nonRetryableStatuses must be an array of HTTP statuses from 300 to 599"),
      (#""nonRetryableStatuses": ["x"]"#, "/nonRetryableStatuses must be an array of HTTP statuses from 300 to 599"),
    ])
  func fields(fields: String, problem: String) async throws {
    let all = fields.isEmpty || fields.contains("\"url\"") ? fields : url + ", " + fields
    #expect(try await problems(all) == [problem])
  }

  @Test("must be an object", arguments: ["[]", "5", "\"x\"", "null"])
  func notAnObject(payload: String) async throws {
    let problems = try await withWebhook { try MartletTests.problems($0, payload) }
    #expect(problems == [" must be an object"])
  }

  @Test("may have fields that nobody knows")
  func unknownFields() async throws {
    #expect(try await problems(url + #", "orderId": 7, "nested": {"a": []}"#) == [])
  }
}

@Suite("A redirect")
struct RedirectTests {
  @Test(
    "leads on where scheme, host and port stay the same, or become secure",
    arguments: [
      ("http://a.example/x", "/y", "http://a.example/y"), ("http://a.example/x/z", "y?q", "http://a.example/x/y?q"),
      ("http://a.example:81/x", "http://a.example:81/", "http://a.example:81/"),
      ("http://A.example/x", "http://a.EXAMPLE:80/y", "http://a.example:80/y"),
      ("http://a.example/x", "https://a.example/y", "https://a.example/y"),
      ("https://a.example/x", "//a.example/y#part", "https://a.example/y"),
      ("http://[::1]:5/", "/y", "http://[::1]:5/y"),
    ])
  func followed(from: String, location: String, target: String) {
    #expect(TargetURL(from)?.following(location)?.text == target)
  }

  @Test(
    "leads nowhere else",
    arguments: [
      ("http://a.example/", "http://b.example/"), ("http://a.example/", "//b.example/"),
      ("http://a.example/", "http://a.example:81/"), ("https://a.example/", "http://a.example/"),
      ("http://a.example:81/", "https://a.example/"), ("http://a.example/", "https://a.example:444/"),
      ("http://a.example/", "http://user@a.example/"), ("http://a.example/", "http://a.example.b.example/"),
      ("http://a.example/", "http://a.example@b.example/"),
      ("http://a.example/", "file:///etc/passwd"), ("http://a.example/", "http://[::1]/"),
    ])
  func refused(from: String, location: String) {
    #expect(TargetURL(from)?.following(location) == nil)
  }
}

@Suite("Retry-After")
struct RetryAfterTests {
  private let now = Timestamp(milliseconds: 784_111_777_000)  // 1994-11-06T08:49:37Z

  @Test(
    "is read as seconds and in the three forms of an HTTP date",
    arguments: [
      ("120", 120), ("0", 0), ("Sun, 06 Nov 1994 08:50:37 GMT", 60), ("Sunday, 06-Nov-94 08:50:37 GMT", 60),
      ("Sun Nov  6 08:50:37 1994", 60), ("Sun, 06 Nov 1994 08:49:37 GMT", 0), ("Sat, 05 Nov 1994 08:49:37 GMT", 0),
      ("86401", 86_400), ("99999999999999999999999", 86_400), ("Sun, 06 Nov 2094 08:49:37 GMT", 86_400),
    ])
  func readable(text: String, seconds: Int) {
    #expect(RetryAfter.delay(asked: ["Retry-After": text], now: now) == .seconds(seconds))
  }

  @Test(
    "is no advice when it cannot be read",
    arguments: [
      "", "soon", "-5", "1.5", "+5", "١٢", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
      "Sun, 06 Now 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET", "1994-11-06T08:49:37Z",
    ])
  func unreadable(text: String) {
    #expect(RetryAfter.delay(asked: ["Retry-After": text], now: now) == nil)
  }

  @Test("is measured from the server's own date where it tells it")
  func ownDate() {
    let asked = RetryAfter.delay(
      asked: ["Retry-After": "Sun, 06 Nov 1994 09:00:10 GMT", "Date": "Sun, 06 Nov 1994 09:00:00 GMT"], now: now)
    #expect(asked == .seconds(10))
  }
}

private func failureOf(_ ended: Ended) -> any Error {
  Issue.record("ended otherwise: \(ended)")
  return CancellationError()
}
