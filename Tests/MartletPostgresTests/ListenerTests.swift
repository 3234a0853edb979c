// What one node says is heard by another, also after the listener's connection broke.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

@testable internal import MartletPostgres

@Suite(.timeLimit(.minutes(10))) struct ListenerTests {
  private func listener(_ url: String, channel: String, _ lines: Lines) throws -> Listener {
    Listener(
      try ConnectionSettings(url: url, schema: schema, limits: .patient), channel: channel,
      report: { lines.add("report: \($0)") },
      hear: { lines.add($0) }, onGap: { lines.add("gap") })
  }

  private func listens(_ server: PostgresServer, _ channel: String) -> String {
    "SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN \"\(channel)\"' AND state = 'idle'"
  }

  /// On a busy machine a connection may need several tries, which is reported.
  private func heard(_ lines: Lines) async -> String? {
    var line = await lines.next()
    while line?.hasPrefix("report: ") == true { line = await lines.next() }
    return line
  }

  private func waitUntilListening(_ server: PostgresServer, _ channel: String) async throws {
    while try await server.query(listens(server, channel)).isEmpty { await Task.yield() }
  }

  @Test func `Notifications are heard, in order, and only its own channel's`() async throws {
    let server = try await PostgresServer.shared
    let lines = Lines()
    let listener = try listener(server.url(), channel: "order", lines)
    listener.start()
    listener.start()
    try await waitUntilListening(server, "order")
    _ = try await server.query("NOTIFY \"another\", 'nothing'; NOTIFY \"order\", 'one'")
    _ = try await server.query("SELECT pg_notify('order', n::text) FROM generate_series(1, 3) n")
    for expected in ["one", "1", "2", "3"] { #expect(await heard(lines) == expected) }
    await listener.close()
    await listener.close()
    #expect(try await server.query(listens(server, "order")).isEmpty)
  }

  @Test func `A broken connection is made again, and the gap is told`() async throws {
    let server = try await PostgresServer.shared
    let lines = Lines()
    let listener = try listener(server.url(), channel: "break", lines)
    listener.start()
    try await waitUntilListening(server, "break")
    _ = try await server.query("SELECT pg_terminate_backend(pid) FROM (\(listens(server, "break"))) AS it")
    #expect(await heard(lines) == "gap")
    _ = try await server.query("NOTIFY \"break\", 'again'")
    #expect(await heard(lines) == "again")
    await listener.close()
  }

  @Test func `A database that is away is reported once, and so is its return`() async throws {
    let server = try await PostgresServer.start(durable: false)
    let lines = Lines()
    let listener = try listener(server.url(), channel: "away", lines)
    listener.start()
    try await waitUntilListening(server, "away")
    try await server.stop(.fast)
    let line = await lines.next()
    #expect(line?.hasPrefix("report: cannot hear other nodes and looks for work from time to time instead: ") == true)
    try await server.startAgain()
    #expect(await lines.next() == "gap")
    #expect(await lines.next() == "report: hears other nodes again")
    await listener.close()
    await server.remove()
  }

  @Test func `It ends while it connects to a server that hangs`() async throws {
    let server = try await PostgresServer.start(durable: false)
    let lines = Lines()
    server.signal(SIGSTOP)
    let listener = try listener(server.url(), channel: "hang", lines)
    listener.start()
    await listener.close()
    await server.remove()
  }

  @Test func `It need not have been started`() async throws {
    let listener = try listener("postgres://127.0.0.1:1/d", channel: "never", Lines())
    await listener.close()
    listener.start()
  }
}
