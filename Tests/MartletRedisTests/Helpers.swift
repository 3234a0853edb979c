// What the tests of this target share: clients on servers, and ears.

internal import Foundation
internal import Logging
internal import MartletCore
internal import NIOPosix
internal import RedisServer
internal import Synchronization
internal import Testing

@testable internal import MartletRedis

/// An installation of a test's own, so that all can share a server.
func newInstallation() -> RedisKeys {
  RedisKeys(installation: UUID().uuidString)
}

/// Patient, since the machine may be busy; tests of impatience say how long they mean.
func settings(_ url: String, timeout: Duration = .seconds(20)) throws -> RedisSettings {
  try RedisSettings(
    RedisURL(url), timeout: timeout, backoff: Backoff(first: .milliseconds(5), longest: .milliseconds(100)),
    random: RandomSource(seed: 7))
}

func withClient<Result>(
  _ url: String, timeout: Duration = .seconds(20),
  logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
  _ body: (RedisClient) async throws -> Result
) async throws -> Result {
  let client = RedisClient(
    try settings(url, timeout: timeout), group: MultiThreadedEventLoopGroup.singleton, logger: logger)
  do {
    let result = try await body(client)
    await client.close()
    return result
  } catch {
    await client.close()
    throw error
  }
}

/// The same on the server that all share.
func withSharedClient<Result>(_ body: (RedisClient, RedisKeys) async throws -> Result) async throws -> Result {
  try await withClient(try await RedisServer.shared.url()) { try await body($0, newInstallation()) }
}

/// Runs on a server of its own and ends it.
func withServer(_ server: RedisServer, _ body: (RedisServer) async throws -> Void) async throws {
  do {
    try await body(server)
  } catch {
    await server.remove()
    throw error
  }
  await server.remove()
}

/// What a call comes to that must fail.
func failure<Value>(_ call: () async throws(RedisError) -> Value) async -> RedisError? {
  do throws(RedisError) {
    _ = try await call()
    return nil
  } catch {
    return error
  }
}

/// Waits for something that a real server brings about.
func eventually(
  _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
  let end = ContinuousClock.now + .seconds(60)
  while try await !condition() {
    try #require(.now < end, what, sourceLocation: sourceLocation)
    try await Task.sleep(for: .milliseconds(2))
  }
}

/// Calls until Redis answers again.
func untilBack(_ client: RedisClient) async throws {
  try await eventually("Redis is back") {
    await failure { () async throws(RedisError) in try await client.call(RedisCommand("PING")) } == nil
  }
}

/// Lines, to be awaited one by one.
final class Lines: Sendable {
  private let stream: AsyncStream<String>
  private let continuation: AsyncStream<String>.Continuation

  init() {
    (stream, continuation) = AsyncStream.makeStream()
  }

  func add(_ line: String) { continuation.yield(line) }

  func next() async -> String? {
    for await line in stream { return line }
    return nil
  }

  /// Of all levels, with the level before it.
  var logger: Logger {
    Logger(label: "test") { _ in LineHandler(lines: self) }
  }
}

private struct LineHandler: LogHandler {
  let lines: Lines
  var metadata = Logger.Metadata()
  var logLevel = Logger.Level.trace

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    lines.add("\(event.level): \(event.message)")
  }
}
