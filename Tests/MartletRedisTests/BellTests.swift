// Hints from node to node, and what is told after a gap.

internal import Logging
internal import MartletCore
internal import NIOPosix
internal import RedisServer
internal import Testing

@testable internal import MartletRedis

@Suite(.timeLimit(.minutes(10))) struct BellTests {
  /// Two nodes of one installation, which hear each other.
  private struct Node {
    let client: RedisClient
    let bell: RedisBell
    let lines = Lines()

    init(
      _ url: String, _ keys: RedisKeys, seed: UInt64, timeout: Duration = .seconds(20), quiet: Duration = .seconds(5)
    )
      throws
    {
      let settings = try RedisSettings(
        RedisURL(url), timeout: timeout, backoff: Backoff(first: .milliseconds(5), longest: .milliseconds(100)),
        random: RandomSource(seed: seed))
      let group = MultiThreadedEventLoopGroup.singleton
      let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      client = RedisClient(settings, group: group, logger: logger)
      let lines = lines
      bell = RedisBell(
        settings, client: client, keys: keys, group: group, logger: logger, quiet: quiet,
        hear: { lines.add($0) }, onGap: { lines.add("gap") })
      bell.start()
    }

    func close() async {
      await bell.close()
      await client.close()
    }
  }

  private func withNodes(
    _ server: RedisServer, timeout: Duration = .seconds(20), quiet: Duration = .seconds(5),
    _ body: (Node, Node, RedisKeys) async throws -> Void
  ) async throws {
    let keys = newInstallation()
    let nodes = try [1, 2].map { try Node(server.url(), keys, seed: $0, timeout: timeout, quiet: quiet) }
    do {
      try await eventually("both listen") { nodes.allSatisfy(\.bell.status.isUp) }
      try await body(nodes[0], nodes[1], keys)
    } catch {
      for node in nodes { await node.close() }
      throw error
    }
    for node in nodes { await node.close() }
  }

  @Test func `A hint is heard by all others, in order, and not by whoever gave it`() async throws {
    try await withNodes(try await .shared) { first, second, _ in
      for hint in ["one", "", "two ü"] { try await first.bell.ring(hint) }
      try await second.bell.ring("three")
      #expect(await second.lines.next() == "one")
      #expect(await second.lines.next() == "")
      #expect(await second.lines.next() == "two ü")
      // Had it heard its own, that would have come before.
      #expect(await first.lines.next() == "three")
    }
  }

  @Test func `A hint is at most 8 KiB long, and what no node can have said is not heard`() async throws {
    let server = try await RedisServer.shared
    try await withNodes(server) { first, second, keys in
      let longest = String(repeating: "x", count: 8192)
      try await first.bell.ring(longest)
      #expect(await second.lines.next() == longest)
      let error = await failure { () async throws(RedisError) in try await first.bell.ring(longest + "x") }
      #expect(error == .refused("a hint is longer than 8192 bytes"))
      try await server.command(["PUBLISH", keys.bell, "short"])
      try await server.command(["PUBLISH", keys.bell, String(repeating: "y", count: 9000)])
      try await first.bell.ring("after")
      #expect(await second.lines.next() == "after")
    }
  }

  @Test func `Installations do not hear each other`() async throws {
    let server = try await RedisServer.shared
    try await withNodes(server) { first, _, _ in
      try await withNodes(server) { other, listener, _ in
        try await first.bell.ring("for us")
        try await other.bell.ring("for them")
        #expect(await listener.lines.next() == "for them")
      }
    }
  }

  @Test func `After a restart the gap is told, and hints are heard again`() async throws {
    try await withServer(.start()) { server in
      try await withNodes(server) { first, second, _ in
        await server.kill()
        try await eventually("it is noticed") { !first.bell.status.isUp && !second.bell.status.isUp }
        try await server.startAgain()
        #expect(await first.lines.next() == "gap")
        #expect(await second.lines.next() == "gap")
        try await untilBack(first.client)
        try await first.bell.ring("again")
        #expect(await second.lines.next() == "again")
      }
    }
  }

  @Test func `A Redis that hangs is noticed by whoever only listens`() async throws {
    try await withServer(.start()) { server in
      try await withNodes(server, timeout: .seconds(1), quiet: .milliseconds(20)) { first, second, _ in
        server.pause()
        try await eventually("it is noticed") { !second.bell.status.isUp }
        server.resume()
        #expect(await second.lines.next() == "gap")
        try await untilBack(first.client)
        try await eventually("it listens") { second.bell.status.isUp }
        try await first.bell.ring("again")
        var heard = await second.lines.next()
        while heard == "gap" { heard = await second.lines.next() }
        #expect(heard == "again")
      }
    }
  }

  @Test func `Who begins to listen before there is a Redis is told of the gap`() async throws {
    try await withServer(.start()) { server in
      await server.stop()
      let node = try Node(server.url(), newInstallation(), seed: 1)
      try await eventually("it is known to be away") { node.bell.status.lastError != nil }
      try await server.startAgain()
      #expect(await node.lines.next() == "gap")
      await node.close()
    }
  }

  @Test func `Who may not listen is told why`() async throws {
    try await withServer(.start(users: ["deaf on >secret ~* +@all resetchannels"])) { server in
      let node = try Node(server.url(credentials: "deaf:secret@"), newInstallation(), seed: 1)
      try await eventually("it is refused") { node.bell.status.lastError?.contains("NOPERM") ?? false }
      await node.close()
    }
  }
}
