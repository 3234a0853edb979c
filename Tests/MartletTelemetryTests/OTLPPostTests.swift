// One message over a real connection, and what the receiver's answer means.

import MartletCore
import MartletTelemetry
import NIOHTTP1
import ScriptedServer
import Testing

@Suite struct OTLPPostTests {
  private func send(
    _ answer: ScriptedAnswer, path: String = "", _ check: (SpanVerdict, [ScriptedRequest], String) throws -> Void
  ) async throws {
    try await ScriptedServer.serving({ _, _ in answer }) { server in
      let endpoint = try #require(OTLPEndpoint(server.address + path))
      let post = OTLPPost(endpoint, headers: [("Authorization", "Bearer s3cret")], userAgent: "Martlet/test") {
        headers in headers.first(name: "retry-after").flatMap { Int($0) }.map { .seconds($0) }
      }
      let verdict = await post.send([1, 2, 3])
      await post.shutdown()
      try check(verdict, server.requests, endpoint.shown)
    }
  }

  @Test(arguments: ["", "/", "/v1/traces", "/v1/traces/"])
  func `a message is posted to the receiver's place for traces with its headers`(path: String) async throws {
    try await send(.body(200, [], headers: ["content-type": "application/x-protobuf"]), path: path) {
      verdict, requests, _ in
      #expect(verdict == .taken())
      let request = try #require(requests.first)
      #expect((request.method, request.target) == ("POST", "/v1/traces"))
      #expect(request.headers["content-type"] == "application/x-protobuf")
      #expect(request.headers["authorization"] == "Bearer s3cret")
      #expect(request.headers["user-agent"] == "Martlet/test")
      #expect(request.body == [1, 2, 3])
    }
  }

  @Test func `a path of the receiver's own is kept`() async throws {
    try await send(.body(200, [], headers: [:]), path: "/otlp") { _, requests, _ in
      #expect(requests.first?.target == "/otlp/v1/traces")
    }
  }

  @Test(arguments: [429, 502, 503, 504])
  func `what passes is tried again, then when it asks`(status: Int) async throws {
    try await send(.body(status, [], headers: ["retry-after": "7"])) { verdict, _, shown in
      #expect(verdict == .failed("\(shown) answered \(status)", after: .seconds(7)))
    }
  }

  @Test(arguments: [400, 401, 404, 413, 500, 301])
  func `what does not pass is given up`(status: Int) async throws {
    try await send(.body(status, [], headers: [:])) { verdict, _, shown in
      #expect(verdict == .refused("\(shown) answered \(status)"))
    }
  }

  @Test(arguments: [
    ([0x0A, 2, 0x08, 3], 3), ([0x0A, 7, 0x12, 3, 1, 2, 3, 0x08, 5], 5), ([], 0), ([0xFF, 0xFF], 0), ([0x0A, 0], 0),
  ])
  func `spans that a receiver rejects are known`(body: [UInt8], count: Int) async throws {
    try await send(.body(200, body, headers: [:])) { verdict, _, _ in #expect(verdict == .taken(rejected: count)) }
  }

  @Test func `nobody there is told with its address, never with what was to be sent`() async throws {
    let endpoint = try #require(OTLPEndpoint(try ScriptedServer.deafAddress()))
    let post = OTLPPost(endpoint, headers: [("Authorization", "s3cret")], userAgent: "Martlet") { _ in nil }
    let verdict = await post.send([])
    await post.shutdown()
    #expect(verdict == .failed("\(endpoint.shown): Connection refused"))
  }

  @Test(arguments: [
    "", "collector", "collector:4318", "ftp://collector", "http://", "http://user:password@collector",
    "http://collector?token=x", "http://collector#x", "http://collector:99999", "http://col lector",
  ])
  func `what is no address of a receiver is none`(text: String) {
    #expect(OTLPEndpoint(text) == nil)
  }
}
