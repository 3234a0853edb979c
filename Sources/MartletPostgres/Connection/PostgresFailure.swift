// How a round trip to the database can end badly, and what that means for the store: above all, whether it is certain that
// nothing was changed.

internal import MartletCore

enum PostgresFailure: Error, Sendable, Hashable {
  /// Certainly nothing was changed: no connection in time, or the pool is closed.
  case unavailable(String)
  /// The connection broke, or no answer came in time, after something was sent: whether it was committed is not known.
  case lost(String)
  /// The server answered with an error; nothing was changed.
  case refused(sqlState: String, message: String)
}

extension StoreError {
  init(_ failure: PostgresFailure) {
    switch failure {
    case .unavailable(let reason): self = .unavailable(reason)
    case .lost(let reason): self = .unknownOutcome(reason)
    case .refused(let sqlState, let message): self.init(sqlState: sqlState, message: message)
    }
  }

  /// PostgreSQL's error codes (its manual's Appendix A) in the words of the store.
  init(sqlState: String, message: String) {
    let said = "\(message) (SQLSTATE \(sqlState))"
    switch (sqlState.prefix(2), sqlState) {
    case (_, "53100"): self = .unavailable("the database's disk is full")
    case (_, "53300"): self = .unavailable("the database takes no more connections: \(said)")
    case (_, "57014"): self = .unavailable("the database took too long: \(said)")
    case (_, "25006"): self = .unavailable("the database is read-only, as a standby is: \(said)")
    case (_, "0A000") where message.contains("cached plan"): self = .unavailable(said)  // the next try prepares it anew
    case ("08", _), ("40", _), ("53", _), ("57", _), ("58", _), (_, "55P03"): self = .unavailable(said)
    case (_, "42501"): self = .unusable("the database role lacks rights: \(said)")
    case (_, "42P01"), (_, "3F000"), (_, "42703"), (_, "42883"):
      self = .unusable("the database's schema is not this version's: \(said)")
    case (_, "26000"), (_, "42P05"):
      self = .unusable("\(said); behind PgBouncer in transaction mode the URL needs pgbouncer=true")
    default: self = .unusable(said)
    }
  }
}
