// The client on a real Redis: calls that share a connection, and what becomes of them when Redis stops, hangs or refuses.

internal import Logging
internal import MartletCore
internal import RedisServer
internal import Testing

@testable internal import MartletRedis

struct ClientTests {
  private let ping = RedisCommand("PING")

  private func fails(_ client: RedisClient, _ command: RedisCommand = RedisCommand("PING")) async -> RedisError? {
    await failure { () async throws(RedisError) in try await client.call(command) }
  }

  @Test func `Many callers share one connection, and each gets his own answers`() async throws {
    try await withSharedClient { client, keys in
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for caller in 0..<200 {
          group.addTask {
            let words = (0..<20).map { "\(caller).\($0)" }
            let replies = try await client.send(words.map { RedisCommand("ECHO", $0) })
            return replies.map(\.string) == words
          }
        }
        for try await isRight in group { #expect(isRight) }
      }
      #expect(client.status == RedisStatus(isUp: true, lastError: nil))
      #expect(try await client.send([]).isEmpty)
    }
  }

  @Test func `Any bytes come back as they were, be they many`() async throws {
    try await withSharedClient { client, keys in
      let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      var set = RedisCommand("SET", keys.prefix + "big")
      set.add(bytes)
      try await client.call(set)
      #expect(try await client.call(RedisCommand("GET", keys.prefix + "big")).bytes == bytes)
      try await client.call(RedisCommand("DEL", keys.prefix + "big"))
    }
  }

  @Test func `An error reply is the caller's own, and the connection goes on`() async throws {
    try await withSharedClient { client, keys in
      let replies = try await client.send([ping, RedisCommand("GET"), ping])
      #expect(replies[1] == .error("ERR wrong number of arguments for 'get' command"))
      #expect(replies[2].string == "PONG")
      #expect(await fails(client, RedisCommand("GET")) == .refused("ERR wrong number of arguments for 'get' command"))
      #expect(client.status.isUp)
    }
  }

  @Test func `The connection is in its database, and has a name`() async throws {
    let url = try await RedisServer.shared.url()
    try await withClient(url + "/7") { client in
      let line = try await client.call(RedisCommand("CLIENT", "INFO")).string ?? ""
      #expect(line.contains(" name=martlet ") && line.contains(" db=7 "))
    }
  }

  @Test func `A script is run although Redis does not know it, or no longer`() async throws {
    try await withServer(.start()) { server in
      try await withClient(server.url()) { client in
        let script = RedisScript("return {KEYS[1], ARGV[1]}")
        let calls = (0..<3).map { RedisScript.Call(keys: ["k"], RedisCommand("\($0)")) }
        for _ in 0..<2 {
          for _ in 0..<2 {
            let replies = try await client.run(script, calls)
            #expect(replies.map { $0.array?.compactMap(\.string) } == [["k", "0"], ["k", "1"], ["k", "2"]])
          }
          try await server.command(["SCRIPT", "FLUSH"])
        }
        let wrong = RedisScript("return redis.call('NONSENSE')")
        let error = await failure { () async throws(RedisError) in
          try await client.run(wrong, [RedisScript.Call(keys: [])])
        }
        guard case .refused(let line)? = error, !line.contains("\n"), !line.contains("script: ") else {
          Issue.record("\(String(describing: error))")
          return
        }
      }
    }
  }

  @Test func `A restart is told once and survived`() async throws {
    try await withServer(.start()) { server in
      let lines = Lines()
      try await withClient(server.url(), logger: lines.logger) { client in
        try await client.call(ping)
        await server.kill()
        try await eventually("calls fail") { await fails(client) != nil }
        try await eventually("it is known to be away") { client.status.lastError?.contains("refused") ?? false }
        #expect(await fails(client) == .unavailable("Redis at 127.0.0.1:\(server.port): connection refused"))
        #expect(!client.status.isUp)
        let line = await lines.next()
        #expect(line?.hasPrefix("warning: Redis at 127.0.0.1:\(server.port): ") == true)
        #expect(line?.hasSuffix("; until it is back: no dispatch, rate limits and keys over Redis") == true)
        try await server.startAgain()
        try await untilBack(client)
        #expect(client.status == RedisStatus(isUp: true, lastError: nil))
        #expect(await lines.next() == "notice: Redis is back: dispatch, rate limits and keys over Redis")
      }
    }
  }

  @Test func `A Redis that was never there is unavailable, and found once it is`() async throws {
    try await withServer(.start()) { server in
      await server.stop()
      try await withClient(server.url()) { client in
        #expect(await fails(client) == .unavailable("Redis at 127.0.0.1:\(server.port): connection refused"))
        try await server.startAgain()
        try await untilBack(client)
      }
    }
  }

  @Test func `A Redis that hangs costs one timeout, and after that nothing until it goes on`() async throws {
    try await withServer(.start()) { server in
      try await withClient(server.url(), timeout: .milliseconds(500)) { client in
        try await untilBack(client)
        server.pause()
        let clock = ContinuousClock()
        let start = clock.now
        async let first = fails(client)
        async let second = fails(client)
        let over = RedisError.unavailable("Redis at 127.0.0.1:\(server.port): no answer within 500 ms")
        let both = await [first, second]
        #expect(both == [over, over])
        let waited = start.duration(to: clock.now)
        #expect(waited >= .milliseconds(490) && waited < .seconds(5))
        // Each of these would take as long again.
        let later = clock.now
        for _ in 0..<100 { #expect(await fails(client) == over) }
        #expect(later.duration(to: clock.now) < .seconds(5))
        #expect(client.status == RedisStatus(isUp: false, lastError: over.message))
        server.resume()
        try await untilBack(client)
        #expect(client.status.isUp)
      }
    }
  }

  @Test func `A first call to a Redis that hangs ends in time`() async throws {
    try await withServer(.start()) { server in
      server.pause()
      try await withClient(server.url(), timeout: .milliseconds(300)) { client in
        #expect(await fails(client) == .unavailable("Redis at 127.0.0.1:\(server.port): no answer within 300 ms"))
        server.resume()
        try await untilBack(client)
      }
    }
  }

  @Test func `After the end calls fail at once`() async throws {
    let client = try await withSharedClient { client, _ in
      try await client.call(ping)
      return client
    }
    guard case .unavailable(let line)? = await fails(client) else {
      Issue.record("it answered")
      return
    }
    #expect(line.hasSuffix("the connection was closed by this node"))
    #expect(client.status == RedisStatus(isUp: false, lastError: nil))
    await client.close()
  }

  @Test func `A name that does not exist is said`() async throws {
    try await withClient("redis://no-such-host.invalid") { client in
      let place = "Redis at no-such-host.invalid:6379"
      #expect(await fails(client) == .unavailable("\(place): the host name cannot be resolved"))
    }
  }
}

struct RefusalTests {
  private func fails(_ url: String, _ command: RedisCommand = RedisCommand("PING")) async throws -> RedisError? {
    try await withClient(url) { client in
      await failure { () async throws(RedisError) in try await client.call(command) }
    }
  }

  @Test func `A wrong password, or none, is refused in one line that does not show it`() async throws {
    try await withServer(.start(password: "right-secret")) { server in
      let place = "Redis at 127.0.0.1:\(server.port)"
      let good = try await (fails(server.url()), fails(server.url(credentials: "default:right-secret@")))
      #expect(good == (nil, nil))
      let wrong = RedisError.refused("\(place): WRONGPASS invalid username-password pair or user is disabled.")
      let refused = try await (
        fails(server.url(credentials: ":wrong-secret@")), fails(server.url(credentials: "nobody:right-secret@"))
      )
      #expect(refused == (wrong, wrong))
      let anonymous = try await fails(server.url(credentials: ""))
      #expect(anonymous == .refused("\(place): NOAUTH Authentication required."))
    }
  }

  @Test func `A password that is mended on the server is tried again`() async throws {
    try await withServer(.start(password: "old")) { server in
      let lines = Lines()
      try await withClient(server.url(credentials: ":new@"), logger: lines.logger) { client in
        let first = await failure { () async throws(RedisError) in try await client.call(RedisCommand("PING")) }
        #expect(first?.message.contains("WRONGPASS") == true)
        #expect(client.status.lastError?.contains("WRONGPASS") == true)
        #expect(await lines.next()?.contains("WRONGPASS") == true)
        try await server.command(["CONFIG", "SET", "requirepass", "new"])
        try await untilBack(client)
      }
    }
  }

  @Test func `Who has only some rights may use those`() async throws {
    let users = ["reader on >secret ~martlet:* +get", "limited on >secret ~other:* +@all"]
    try await withServer(.start(users: users)) { server in
      let url = server.url(credentials: "reader:secret@")
      #expect(try await fails(url, RedisCommand("GET", "martlet:{x}:y")) == nil)
      let set = try await fails(url, RedisCommand("SET", "martlet:{x}:y", "z"))
      guard case .refused(let line)? = set, line.hasPrefix("NOPERM") else {
        Issue.record("\(String(describing: set))")
        return
      }
      try await withClient(server.url(credentials: "limited:secret@")) { client in
        let dispatch = RedisDispatch(client, newInstallation())
        let error = await failure { () async throws(RedisError) in try await dispatch.push([entry(1)]) }
        guard case .refused(let line)? = error, line.hasPrefix("NOPERM"), !line.contains("\n") else {
          Issue.record("\(String(describing: error))")
          return
        }
      }
    }
  }

  @Test func `Where memory is full the reason is told, what is there stays whole, and room can be made`() async throws {
    try await withServer(.start(settings: ["maxmemory-policy noeviction"])) { server in
      try await withClient(server.url()) { client in
        let keys = newInstallation()
        let dispatch = RedisDispatch(client, keys)
        let entries = (0..<20).map { entry($0) }
        try await dispatch.push(entries)
        let taken = try await dispatch.take([request(limit: 5)], lock: .seconds(600))[0]
        try await server.command(["CONFIG", "SET", "maxmemory", "1"])

        let full = RedisError.refused("OOM command not allowed when used memory > 'maxmemory'.")
        let another = entry(100)
        #expect(await failure { () async throws(RedisError) in try await dispatch.push([another]) } == full)
        let take = await failure { () async throws(RedisError) in
          try await dispatch.take([request(limit: 5)], lock: .seconds(600))
        }
        #expect(take == full)
        let limits = RedisRateLimits(client, keys)
        let limited = await failure { () async throws(RedisError) in
          try await limits.take("a", .init(perSecond: 1, burst: 1))
        }
        #expect(limited == full)
        // Nothing is half done, and forgetting needs no memory.
        #expect(try await dispatch.unknown(among: entries + [another]) == [another])
        #expect(try await dispatch.waiting(lane) == 15)
        try await dispatch.confirm(taken)
        #expect(try await dispatch.unknown(among: entries) == entries.filter { taken.contains($0.id) })

        try await server.command(["CONFIG", "SET", "maxmemory", "0"])
        let rest = try await dispatch.take([request(limit: 100)], lock: .seconds(600))[0]
        #expect(rest == entries.map(\.id).filter { !taken.contains($0) })
      }
    }
  }
}
