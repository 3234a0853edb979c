// Statements run row by row on the C interface: GRDB keeps the connections, transactions and the statement cache, while the
// hot paths bind and read columns without its boxing (three times the rows per second).

internal import GRDB
internal import GRDBSQLite
internal import MartletCore

/// A statement of one connection, used only on that connection's thread.
struct PreparedStatement {
  private let statement: Statement
  private var handle: OpaquePointer { statement.sqliteStatement }

  fileprivate init(_ statement: Statement) {
    self.statement = statement
  }

  /// Runs it to its end; the number of rows that it changed.
  @discardableResult
  func run<each Value: SQLValue>(_ values: repeat each Value) throws -> Int {
    bind(repeat each values)
    defer { sqlite3_reset(handle) }
    while try step() {}
    return Int(sqlite3_changes(sqlite3_db_handle(handle)))
  }

  /// The rows, each read by `read` in the order of the columns, up to and with the first after which `isEnough` says so.
  func rows<each Value: SQLValue, Row>(
    _ values: repeat each Value, until isEnough: (Row) -> Bool = { _ in false }, read: (inout Columns) throws -> Row
  ) throws -> [Row] {
    bind(repeat each values)
    defer { sqlite3_reset(handle) }
    var rows: [Row] = []
    while try step() {
      var columns = Columns(handle: handle)
      let row = try read(&columns)
      rows.append(row)
      if isEnough(row) { break }
    }
    return rows
  }

  /// The same with parameters whose number is known only when it runs.
  func rows<Row>(
    binding values: [any SQLValue], until isEnough: (Row) -> Bool, read: (inout Columns) throws -> Row
  ) throws -> [Row] {
    for (index, value) in values.enumerated() { value.bind(to: handle, at: Int32(index + 1)) }
    defer { sqlite3_reset(handle) }
    var rows: [Row] = []
    while try step() {
      var columns = Columns(handle: handle)
      let row = try read(&columns)
      rows.append(row)
      if isEnough(row) { break }
    }
    return rows
  }

  /// The first row, if there is one.
  func row<each Value: SQLValue, Row>(
    _ values: repeat each Value, read: (inout Columns) throws -> Row
  ) throws -> Row? {
    bind(repeat each values)
    defer { sqlite3_reset(handle) }
    guard try step() else { return nil }
    var columns = Columns(handle: handle)
    return try read(&columns)
  }

  private func bind<each Value: SQLValue>(_ values: repeat each Value) {
    var index: Int32 = 1
    for value in repeat each values {
      value.bind(to: handle, at: index)
      index += 1
    }
  }

  private func step() throws -> Bool {
    switch sqlite3_step(handle) {
    case SQLITE_ROW: return true
    case SQLITE_DONE: return false
    case let code:
      let connection = sqlite3_db_handle(handle)
      throw DatabaseError(
        resultCode: ResultCode(
          rawValue: sqlite3_extended_errcode(connection) == 0 ? code : sqlite3_extended_errcode(connection)),
        message: String(cString: sqlite3_errmsg(connection)), sql: statement.sql)
    }
  }
}

extension Database {
  /// From the connection's cache.
  func prepared(_ sql: String) throws -> PreparedStatement {
    PreparedStatement(try cachedStatement(sql: sql))
  }
}

/// A row's columns, left to right.
struct Columns {
  fileprivate let handle: OpaquePointer
  private var index: Int32 = 0

  fileprivate init(handle: OpaquePointer) {
    self.handle = handle
  }

  mutating func int() -> Int64 {
    defer { index += 1 }
    return sqlite3_column_int64(handle, index)
  }

  mutating func optionalInt() -> Int64? {
    isNull ? skip() : int()
  }

  mutating func optionalDouble() -> Double? {
    guard !isNull else { return skip() }
    defer { index += 1 }
    return sqlite3_column_double(handle, index)
  }

  mutating func bool() -> Bool { int() != 0 }

  mutating func text() -> String {
    defer { index += 1 }
    guard let start = sqlite3_column_text(handle, index) else { return "" }
    let count = Int(sqlite3_column_bytes(handle, index))
    return String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
  }

  mutating func optionalText() -> String? {
    isNull ? skip() : text()
  }

  mutating func blob() -> [UInt8] {
    defer { index += 1 }
    guard let start = sqlite3_column_blob(handle, index) else { return [] }
    return Array(UnsafeRawBufferPointer(start: start, count: Int(sqlite3_column_bytes(handle, index))))
  }

  mutating func optionalBlob() -> [UInt8]? {
    isNull ? skip() : blob()
  }

  mutating func id() throws -> TaskID {
    defer { index += 1 }
    guard let start = sqlite3_column_blob(handle, index), sqlite3_column_bytes(handle, index) == 16 else {
      throw UnreadableRow(what: "an id that is not 16 bytes")
    }
    return TaskID(
      high: UInt64(bigEndian: start.loadUnaligned(as: UInt64.self)),
      low: UInt64(bigEndian: (start + 8).loadUnaligned(as: UInt64.self)))
  }

  mutating func optionalID() throws -> TaskID? {
    isNull ? skip() : try id()
  }

  mutating func time() -> Timestamp { Timestamp(milliseconds: int()) }

  mutating func optionalTime() -> Timestamp? { optionalInt().map(Timestamp.init(milliseconds:)) }

  mutating func milliseconds() -> Duration { .milliseconds(int()) }

  private var isNull: Bool { sqlite3_column_type(handle, index) == SQLITE_NULL }

  private mutating func skip<Value>() -> Value? {
    index += 1
    return nil
  }
}

/// What can be bound to a parameter. Text and bytes are copied by SQLite.
protocol SQLValue {
  func bind(to statement: OpaquePointer, at index: Int32)
}

private var transient: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

extension Int64: SQLValue {
  func bind(to statement: OpaquePointer, at index: Int32) { sqlite3_bind_int64(statement, index, self) }
}

extension Int: SQLValue {
  func bind(to statement: OpaquePointer, at index: Int32) { sqlite3_bind_int64(statement, index, Int64(self)) }
}

extension Bool: SQLValue {
  func bind(to statement: OpaquePointer, at index: Int32) { sqlite3_bind_int64(statement, index, self ? 1 : 0) }
}

extension Double: SQLValue {
  func bind(to statement: OpaquePointer, at index: Int32) { sqlite3_bind_double(statement, index, self) }
}

extension String: SQLValue {
  func bind(to statement: OpaquePointer, at index: Int32) {
    var text = self
    text.withUTF8 { buffer in
      // A nil pointer would bind NULL, so an empty text needs an address of its own.
      buffer.withMemoryRebound(to: CChar.self) { characters in
        _ = sqlite3_bind_text(statement, index, characters.baseAddress ?? emptyText, Int32(characters.count), transient)
      }
    }
  }
}

extension [UInt8]: SQLValue {
  func bind(to statement: OpaquePointer, at index: Int32) {
    withUnsafeBytes { buffer in
      if let start = buffer.baseAddress, !buffer.isEmpty {
        _ = sqlite3_bind_blob(statement, index, start, Int32(buffer.count), transient)
      } else {
        _ = sqlite3_bind_zeroblob(statement, index, 0)
      }
    }
  }
}

extension TaskID: SQLValue {
  func bind(to statement: OpaquePointer, at index: Int32) {
    withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { buffer in
      _ = sqlite3_bind_blob(statement, index, buffer.baseAddress, 16, transient)
    }
  }
}

extension Timestamp: SQLValue {
  func bind(to statement: OpaquePointer, at index: Int32) { sqlite3_bind_int64(statement, index, milliseconds) }
}

extension Optional: SQLValue where Wrapped: SQLValue {
  func bind(to statement: OpaquePointer, at index: Int32) {
    if let self { self.bind(to: statement, at: index) } else { sqlite3_bind_null(statement, index) }
  }
}

private nonisolated(unsafe) let emptyText: UnsafePointer<CChar> = {
  let text = UnsafeMutablePointer<CChar>.allocate(capacity: 1)
  text.initialize(to: 0)
  return UnsafePointer(text)
}()
