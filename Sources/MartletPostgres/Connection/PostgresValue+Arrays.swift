// Arrays of one dimension in PostgreSQL's binary format: the hot path of every batch, so each is written straight into one
// buffer. An empty sequence is the empty array.

internal import MartletCore

extension PostgresValue {
  static func bools(_ values: some Sequence<Bool>) -> PostgresValue {
    array(TypeID.bools, of: TypeID.bool, values) { $0.append(UInt8($1 ? 1 : 0), size: 1) }
  }

  static func bools(_ values: some Sequence<Bool?>) -> PostgresValue {
    optionals(TypeID.bools, of: TypeID.bool, values) { $0.append(UInt8($1 ? 1 : 0), size: 1) }
  }

  static func int2s(_ values: some Sequence<Int16>) -> PostgresValue {
    array(TypeID.int2s, of: TypeID.int2, values) { $0.append($1, size: 2) }
  }

  static func int2s(_ values: some Sequence<Int16?>) -> PostgresValue {
    optionals(TypeID.int2s, of: TypeID.int2, values) { $0.append($1, size: 2) }
  }

  static func int4s(_ values: some Sequence<Int32>) -> PostgresValue {
    array(TypeID.int4s, of: TypeID.int4, values) { $0.append($1, size: 4) }
  }

  static func int4s(_ values: some Sequence<Int32?>) -> PostgresValue {
    optionals(TypeID.int4s, of: TypeID.int4, values) { $0.append($1, size: 4) }
  }

  static func int8s(_ values: some Sequence<Int64>) -> PostgresValue {
    array(TypeID.int8s, of: TypeID.int8, values) { $0.append($1, size: 8) }
  }

  static func int8s(_ values: some Sequence<Int64?>) -> PostgresValue {
    optionals(TypeID.int8s, of: TypeID.int8, values) { $0.append($1, size: 8) }
  }

  static func times(_ values: some Sequence<Timestamp>) -> PostgresValue {
    array(TypeID.int8s, of: TypeID.int8, values) { $0.append($1.milliseconds, size: 8) }
  }

  static func times(_ values: some Sequence<Timestamp?>) -> PostgresValue {
    optionals(TypeID.int8s, of: TypeID.int8, values) { $0.append($1.milliseconds, size: 8) }
  }

  static func doubles(_ values: some Sequence<Double>) -> PostgresValue {
    array(TypeID.doubles, of: TypeID.double, values) { $0.append($1.bitPattern, size: 8) }
  }

  static func doubles(_ values: some Sequence<Double?>) -> PostgresValue {
    optionals(TypeID.doubles, of: TypeID.double, values) { $0.append($1.bitPattern, size: 8) }
  }

  static func uuids(_ values: some Sequence<TaskID>) -> PostgresValue {
    array(TypeID.uuids, of: TypeID.uuid, values) { $0.append($1) }
  }

  static func uuids(_ values: some Sequence<TaskID?>) -> PostgresValue {
    optionals(TypeID.uuids, of: TypeID.uuid, values) { $0.append($1) }
  }

  /// A character U+0000, which PostgreSQL cannot keep, becomes U+FFFD.
  static func texts(_ values: some Sequence<String>) -> PostgresValue {
    array(TypeID.texts, of: TypeID.text, values) { $0.append($1) }
  }

  static func texts(_ values: some Sequence<String?>) -> PostgresValue {
    optionals(TypeID.texts, of: TypeID.text, values) { $0.append($1) }
  }

  static func bytesArray(_ values: some Sequence<[UInt8]>) -> PostgresValue {
    array(TypeID.bytesArray, of: TypeID.bytes, values) { $0.append($1) }
  }

  static func bytesArray(_ values: some Sequence<[UInt8]?>) -> PostgresValue {
    optionals(TypeID.bytesArray, of: TypeID.bytes, values) { $0.append($1) }
  }

  @inline(__always)
  private static func array<Element>(
    _ type: UInt32, of elementType: UInt32, _ values: some Sequence<Element>,
    append: (inout ArrayWriter, Element) -> Void
  ) -> PostgresValue {
    var writer = ArrayWriter(expecting: values.underestimatedCount)
    for value in values { append(&writer, value) }
    return PostgresValue(type: type, bytes: writer.finish(elementType: elementType))
  }

  @inline(__always)
  private static func optionals<Element>(
    _ type: UInt32, of elementType: UInt32, _ values: some Sequence<Element?>,
    append: (inout ArrayWriter, Element) -> Void
  ) -> PostgresValue {
    var writer = ArrayWriter(expecting: values.underestimatedCount)
    for value in values {
      if let value { append(&writer, value) } else { writer.appendNull() }
    }
    return PostgresValue(type: type, bytes: writer.finish(elementType: elementType))
  }
}

/// Writes the elements behind a header that is filled in at the end (array_recv in PostgreSQL's arrayfuncs.c): the number of
/// dimensions, whether there are NULLs, the elements' type; then per dimension its length and its first index. Each element is
/// its length and its bytes; −1 is NULL.
private struct ArrayWriter {
  /// Longer than what is written, so that writing need not ask for room byte by byte.
  private var bytes: [UInt8]
  private var end = 20
  private var count: Int32 = 0
  private var hasNulls = false

  init(expecting count: Int) {
    bytes = [UInt8](repeating: 0, count: 20 + count * 20)
  }

  mutating func append<Value: FixedWidthInteger>(_ value: Value, size: Int32) {
    count += 1
    put(size)
    put(value)
  }

  mutating func append(_ id: TaskID) {
    count += 1
    put(Int32(16))
    put(id.high)
    put(id.low)
  }

  mutating func append(_ value: [UInt8]) {
    count += 1
    put(Int32(value.count))
    value.withUnsafeBytes { put($0) }
  }

  mutating func append(_ text: String) {
    var text = text
    text.withUTF8 { buffer in
      guard buffer.isStorable else { return append([UInt8](storable: buffer)) }
      count += 1
      put(Int32(buffer.count))
      put(UnsafeRawBufferPointer(buffer))
    }
  }

  mutating func appendNull() {
    count += 1
    hasNulls = true
    put(Int32(-1))
  }

  consuming func finish(elementType: UInt32) -> [UInt8] {
    let end = count > 0 ? end : 12
    self.end = 0
    put(Int32(count > 0 ? 1 : 0))
    put(Int32(hasNulls ? 1 : 0))
    put(elementType)
    if count > 0 {
      put(count)
      put(Int32(1))
    }
    bytes.removeLast(bytes.count - end)
    return bytes
  }

  private mutating func put<Value: FixedWidthInteger>(_ value: Value) {
    makeRoom(MemoryLayout<Value>.size)
    bytes.withUnsafeMutableBytes { $0.storeBytes(of: value.bigEndian, toByteOffset: end, as: Value.self) }
    end += MemoryLayout<Value>.size
  }

  private mutating func put(_ value: UnsafeRawBufferPointer) {
    makeRoom(value.count)
    bytes.withUnsafeMutableBytes { UnsafeMutableRawBufferPointer(rebasing: $0[end...]).copyMemory(from: value) }
    end += value.count
  }

  private mutating func makeRoom(_ size: Int) {
    guard bytes.count - end < size else { return }
    bytes.append(contentsOf: repeatElement(0, count: max(size, bytes.count)))
  }
}
