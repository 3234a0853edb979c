// What one query answered. The store's operations read it column by column, straight from libpq's memory.

internal import CPostgres
internal import MartletCore

/// A result's rows, or how many rows it changed.
///
/// Sendable although it holds a C pointer: libpq never changes a result once it is received, and frees it only here.
final class Rows: @unchecked Sendable {
  private let result: OpaquePointer

  /// Takes over the result.
  init(_ result: OpaquePointer) {
    self.result = result
  }

  deinit {
    PQclear(result)
  }

  var count: Int { Int(PQntuples(result)) }

  /// Rows that an INSERT, UPDATE, DELETE or SELECT touched.
  var affected: Int { Int(String(cString: PQcmdTuples(result))) ?? 0 }

  /// The rows, each read by `read` in the order of the columns.
  func map<Row>(_ read: (inout Columns) throws -> Row) rethrows -> [Row] {
    var rows: [Row] = []
    let count = PQntuples(result)
    rows.reserveCapacity(Int(count))
    for row in 0..<count {
      var columns = Columns(result: result, row: row)
      rows.append(try read(&columns))
    }
    return rows
  }

  /// The first row, if there is one.
  func first<Row>(_ read: (inout Columns) throws -> Row) rethrows -> Row? {
    guard count > 0 else { return nil }
    var columns = Columns(result: result, row: 0)
    return try read(&columns)
  }
}

/// A row's columns, left to right; to be used only inside `Rows.map` and `first`. A NULL that is not read as an optional is
/// zero or empty.
struct Columns {
  private let result: OpaquePointer
  private let row: Int32
  private var index: Int32 = 0

  fileprivate init(result: OpaquePointer, row: Int32) {
    self.result = result
    self.row = row
  }

  /// An `int2`, `int4` or `int8`.
  mutating func int() -> Int64 { BinaryReader(next()).integer() }

  mutating func optionalInt() -> Int64? { isNull ? skip() : int() }

  mutating func bool() -> Bool { int() != 0 }

  mutating func optionalBool() -> Bool? { isNull ? skip() : bool() }

  /// A `float8` or `float4`.
  mutating func double() -> Double { BinaryReader(next()).double() }

  mutating func optionalDouble() -> Double? { isNull ? skip() : double() }

  mutating func text() -> String { String(decoding: next(), as: UTF8.self) }

  mutating func optionalText() -> String? { isNull ? skip() : text() }

  mutating func blob() -> [UInt8] { Array(next()) }

  mutating func optionalBlob() -> [UInt8]? { isNull ? skip() : blob() }

  mutating func id() -> TaskID { BinaryReader(next()).id() }

  mutating func optionalID() -> TaskID? { isNull ? skip() : id() }

  /// An `int8` of milliseconds.
  mutating func time() -> Timestamp { Timestamp(milliseconds: int()) }

  mutating func optionalTime() -> Timestamp? { optionalInt().map(Timestamp.init(milliseconds:)) }

  mutating func milliseconds() -> Duration { .milliseconds(int()) }

  mutating func optionalMilliseconds() -> Duration? { optionalInt().map { .milliseconds($0) } }

  /// A `uuid[]`.
  mutating func ids() -> [TaskID] { elements { $0.id() } }

  /// A `text[]`.
  mutating func texts() -> [String] { elements { String(decoding: $0.bytes, as: UTF8.self) } }

  /// An `int8[]`, `int4[]` or `int2[]`.
  mutating func ints() -> [Int64] { elements { $0.integer() } }

  private mutating func elements<Element>(_ read: (BinaryReader) -> Element) -> [Element] {
    BinaryReader(next()).elements().map(read)
  }

  /// Leaves out the next columns.
  mutating func pass(_ count: Int32) { index += count }

  private var isNull: Bool { PQgetisnull(result, row, index) == 1 }

  private mutating func skip<Value>() -> Value? {
    index += 1
    return nil
  }

  private mutating func next() -> UnsafeRawBufferPointer {
    defer { index += 1 }
    assert(index < PQnfields(result), "the result has no column \(index)")
    let count = Int(PQgetlength(result, row, index))
    return UnsafeRawBufferPointer(start: PQgetvalue(result, row, index), count: count)
  }
}

/// One value in PostgreSQL's binary format.
private struct BinaryReader {
  let bytes: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
  }

  func integer() -> Int64 {
    switch bytes.count {
    case 8: Int64(bigEndian: bytes.loadUnaligned(as: Int64.self))
    case 4: Int64(Int32(bigEndian: bytes.loadUnaligned(as: Int32.self)))
    case 2: Int64(Int16(bigEndian: bytes.loadUnaligned(as: Int16.self)))
    case 1: Int64(bytes[0])
    default: 0
    }
  }

  func double() -> Double {
    switch bytes.count {
    case 8: Double(bitPattern: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)))
    case 4: Double(Float(bitPattern: UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))))
    default: 0
    }
  }

  func id() -> TaskID {
    guard bytes.count == 16 else { return TaskID(high: 0, low: 0) }
    return TaskID(
      high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
      low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
  }

  /// The elements of an array of one dimension; NULL is an empty one.
  func elements() -> [BinaryReader] {
    guard bytes.count >= 20 else { return [] }  // no dimension: empty
    let count = int32(at: 12)
    var elements: [BinaryReader] = []
    elements.reserveCapacity(count)
    var offset = 20
    for _ in 0..<count {
      let size = max(int32(at: offset), 0)
      offset += 4
      elements.append(BinaryReader(UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + size])))
      offset += size
    }
    return elements
  }

  private func int32(at offset: Int) -> Int {
    Int(Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: Int32.self)))
  }
}
