// Over TLS, with a certificate authority that only the URL names.

internal import Foundation
internal import MartletCore
internal import RedisServer
internal import Testing

@testable internal import MartletRedis

struct TLSTests {
  private func fails(_ url: String, timeout: Duration = .seconds(20)) async throws -> RedisError? {
    try await withClient(url, timeout: timeout) { client in
      await failure { () async throws(RedisError) in try await client.call(RedisCommand("PING")) }
    }
  }

  @Test func `A private certificate authority is trusted where it is named, by name and by address`() async throws {
    try await withServer(.start(password: "secret", isTLS: true)) { server in
      for host in ["localhost", "127.0.0.1"] {
        try await withClient(server.url(host: host)) { client in
          let text = String(repeating: "x", count: 1_000_000)
          #expect(try await client.call(RedisCommand("ECHO", text)).string == text)
          let replies = try await client.send((0..<1000).map { RedisCommand("ECHO", "\($0)") })
          #expect(replies.map(\.string) == (0..<1000).map { "\($0)" })
        }
      }
    }
  }

  @Test func `A restart is survived over TLS`() async throws {
    try await withServer(.start(isTLS: true)) { server in
      try await withClient(server.url()) { client in
        try await untilBack(client)
        await server.stop()
        try await eventually("calls fail") {
          await failure { () async throws(RedisError) in try await client.call(RedisCommand("PING")) } != nil
        }
        try await server.startAgain()
        try await untilBack(client)
      }
    }
  }

  @Test func `Who is not trusted, has another name or speaks no TLS is unavailable, and the reason is said`()
    async throws
  {
    try await withServer(.start(isTLS: true)) { server in
      let untrusted = RedisError.unavailable(
        "Redis at localhost:\(server.port): its certificate is not trusted here")
      #expect(try await fails("rediss://localhost:\(server.port)") == untrusted)
      let plain = try await fails("redis://localhost:\(server.port)")
      guard case .unavailable? = plain else {
        Issue.record("\(String(describing: plain))")
        return
      }
      let other = try await RedisServer.shared
      let url = "rediss://127.0.0.1:\(other.port)?ca=\(server.certificates?.ca.path ?? "")"
      guard case .unavailable(let line)? = try await fails(url, timeout: .milliseconds(500)) else {
        Issue.record("it answered")
        return
      }
      #expect(line.hasPrefix("Redis at 127.0.0.1:\(other.port): "))
    }
  }

  @Test func `A Redis that hangs in the handshake costs no more than the timeout`() async throws {
    try await withServer(.start(isTLS: true)) { server in
      server.pause()
      try await withClient(server.url(), timeout: .milliseconds(300)) { client in
        let error = await failure { () async throws(RedisError) in try await client.call(RedisCommand("PING")) }
        #expect(error == .unavailable("Redis at 127.0.0.1:\(server.port): no answer within 300 ms"))
        server.resume()
        try await untilBack(client)
      }
    }
  }
}
