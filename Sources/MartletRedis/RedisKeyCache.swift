// Idempotency keys that have been seen lately, with what was submitted under them. A shortcut only: what stands here may be answered
// without a transaction; what does not is for the store to decide, whose unique index is the judge.

package import MartletCore

package struct RedisKeyCache: Sendable {
  /// What stands behind a key.
  package struct Entry: Sendable, Hashable {
    package var fingerprint: [UInt8]
    package var tasks: [TaskID]

    package init(fingerprint: [UInt8], tasks: [TaskID]) {
      self.fingerprint = fingerprint
      self.tasks = tasks
    }
  }

  private let client: RedisClient
  private let keys: RedisKeys

  package init(_ client: RedisClient, _ keys: RedisKeys) {
    self.client = client
    self.keys = keys
  }

  /// One answer per key, in order; nil where nothing is known of it.
  package func find(_ texts: [String]) async throws(RedisError) -> [Entry?] {
    guard !texts.isEmpty else { return [] }
    var command = RedisCommand("MGET")
    for text in texts { command.add(keys.idempotency(text)) }
    let values = try await client.call(command).array ?? []
    return texts.indices.map { index in
      index < values.count ? values[index].bytes.flatMap { Entry(written: $0) } : nil
    }
  }

  /// Only what the store has committed. At most 255 bytes of fingerprint.
  package func remember(_ entries: [(key: String, entry: Entry)], for duration: Duration) async throws(RedisError) {
    let milliseconds = duration.wholeMilliseconds
    guard milliseconds > 0 else { return }
    try await client.results(
      entries.map { key, entry in
        var command = RedisCommand("SET", keys.idempotency(key))
        command.add(entry.written)
        command.add(RedisCommand("PX", "\(milliseconds)"))
        return command
      })
  }

  package func forget(_ texts: [String]) async throws(RedisError) {
    guard !texts.isEmpty else { return }
    var command = RedisCommand("DEL")
    for text in texts { command.add(keys.idempotency(text)) }
    try await client.call(command)
  }
}

extension RedisKeyCache.Entry {
  /// Should the form change, another number: nodes of two releases share one Redis.
  private static let form: UInt8 = 1

  /// The form, the length of the fingerprint, the fingerprint, 16 bytes for each id.
  var written: [UInt8] {
    let fingerprint = fingerprint.prefix(255)
    var bytes = [Self.form, UInt8(fingerprint.count)]
    bytes.reserveCapacity(2 + fingerprint.count + 16 * tasks.count)
    bytes += fingerprint
    for task in tasks {
      for index in 0..<16 { bytes.append(task[index]) }
    }
    return bytes
  }

  /// Nil for what another release, or somebody else, has put there.
  init?(written bytes: [UInt8]) {
    guard bytes.count >= 2, bytes[0] == Self.form else { return nil }
    let ids = bytes.dropFirst(2 + Int(bytes[1]))
    guard bytes.count >= 2 + Int(bytes[1]), ids.count % 16 == 0 else { return nil }
    fingerprint = Array(bytes[2..<2 + Int(bytes[1])])
    tasks = stride(from: ids.startIndex, to: ids.endIndex, by: 16).compactMap { TaskID(bytes: ids[$0..<$0 + 16]) }
  }
}
