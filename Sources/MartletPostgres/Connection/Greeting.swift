// What a new connection learns about its server before anything is entrusted to it.

struct Greeting: Sendable, Hashable {
  /// 150018 is 15.18.
  let serverVersion: Int
  let synchronousCommit: String
  let fsync: String
  let fullPageWrites: String
  let serverEncoding: String
  let isInRecovery: Bool
  /// Of its `ServingLock`; true also behind PgBouncer, where a session cannot have any.
  var hasLock = true
}
