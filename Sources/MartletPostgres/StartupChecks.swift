// What a server must be before tasks are entrusted to it. Asked of every new connection, since a server may be restarted with
// other settings, or be another one.

internal import MartletCore

enum StartupChecks {
  /// PostgreSQL 14.
  private static let oldestVersion = 140_000

  /// - Throws: `.unusable` with one line that says what to do; `.unavailable` for what passes.
  static func check(_ greeting: Greeting, durability: PostgresStore.Durability) throws(StoreError) {
    guard greeting.serverVersion >= oldestVersion else {
      throw .unusable("PostgreSQL \(greeting.serverVersion / 10_000) is too old; 14 or newer is needed")
    }
    guard greeting.serverEncoding == "UTF8" else {
      throw .unusable(
        "the database's encoding is \(greeting.serverEncoding); it must be UTF8 (CREATE DATABASE … ENCODING 'UTF8')")
    }
    guard !greeting.isInRecovery else {
      throw .unavailable("the server is a standby and takes no writes; name the primary in database.url")
    }
    guard durability == .strict else { return }
    guard greeting.fsync == "on" else {
      throw .unusable(
        "the server has fsync = off, so accepted tasks could be lost; turn it on, or start with --durability relaxed")
    }
    guard greeting.fullPageWrites == "on" else {
      throw .unusable(
        "the server has full_page_writes = off, so accepted tasks could be lost; turn it on, or start with --durability relaxed"
      )
    }
    guard greeting.synchronousCommit != "off" else {
      throw .unusable(
        "synchronous_commit is off for this role or server, so accepted tasks could be lost; turn it on, or start with --durability relaxed"
      )
    }
  }

  /// - Throws: `.unusable` where others use the schema in a way that does not go with this one.
  static func check(_ greeting: Greeting, lock: ServingLock, schema: String) throws(StoreError) {
    guard !greeting.hasLock else { return }
    switch lock {
    case .shared: throw .unusable("a transfer into the schema \(schema) is under way; it cannot be used before its end")
    case .exclusive:
      throw .unusable("the schema \(schema) is being served, or used by a command; stop all of its nodes first")
    }
  }
}
