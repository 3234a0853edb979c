// SQLite's result codes in the words of the store's one error type.

internal import GRDB
internal import MartletCore

extension StoreError {
  init(_ error: any Error, whileCommitting: Bool = false) {
    switch error {
    case let error as StoreError:
      self = error
    case let error as DatabaseError:
      self.init(error, whileCommitting: whileCommitting)
    case let error as UnreadableRow:
      self = .unusable("the database holds a row that this version cannot read: \(error.what)")
    default:
      self = .unavailable(String(describing: error))
    }
  }

  private init(_ error: DatabaseError, whileCommitting: Bool) {
    let said = error.message ?? "SQLite error \(error.extendedResultCode.rawValue)"
    switch error.resultCode {
    case .SQLITE_FULL:
      self = .unavailable("the disk is full")
    case .SQLITE_BUSY, .SQLITE_LOCKED:
      self = .unavailable("the database is locked by another process")
    case .SQLITE_READONLY:
      self = .unusable("the database or its folder is read-only")
    case .SQLITE_CORRUPT, .SQLITE_NOTADB:
      self = .unusable("the database file is damaged or is no SQLite database (\(said)); restore it from a backup")
    case .SQLITE_CANTOPEN:
      self = .unusable("the database file cannot be opened (\(said))")
    case .SQLITE_IOERR where whileCommitting:
      self = .unknownOutcome("the disk failed while committing (\(said))")
    case .SQLITE_IOERR:
      self = .unavailable("the disk failed (\(said))")
    default:
      self = .unavailable(said)
    }
  }
}
