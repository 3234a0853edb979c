// A parameter in PostgreSQL's binary format, as it goes over the wire. The server writes it into memory as it is, without
// reading text: three times the rows per second.

internal import Foundation
internal import MartletCore

/// A type and its bytes; nil is NULL.
struct PostgresValue: Sendable {
  let type: UInt32
  let bytes: [UInt8]?

  static func bool(_ value: Bool?) -> PostgresValue {
    PostgresValue(type: TypeID.bool, bytes: value.map { [$0 ? 1 : 0] })
  }

  static func int2(_ value: Int16?) -> PostgresValue { PostgresValue(TypeID.int2, value) }

  static func int4(_ value: Int32?) -> PostgresValue { PostgresValue(TypeID.int4, value) }

  static func int8(_ value: Int64?) -> PostgresValue { PostgresValue(TypeID.int8, value) }

  static func double(_ value: Double?) -> PostgresValue { PostgresValue(TypeID.double, value?.bitPattern) }

  /// A character U+0000, which PostgreSQL cannot keep, becomes U+FFFD.
  static func text(_ value: String?) -> PostgresValue {
    PostgresValue(
      type: TypeID.text,
      bytes: value.map { text in
        var text = text
        return text.withUTF8 { [UInt8](storable: $0) }
      })
  }

  static func bytes(_ value: [UInt8]?) -> PostgresValue { PostgresValue(type: TypeID.bytes, bytes: value) }

  static func uuid(_ value: TaskID?) -> PostgresValue {
    PostgresValue(
      type: TypeID.uuid,
      bytes: value.map { id in
        withUnsafeBytes(of: (id.high.bigEndian, id.low.bigEndian), Array.init)
      })
  }

  /// An `int8` of milliseconds.
  static func time(_ value: Timestamp?) -> PostgresValue { int8(value?.milliseconds) }

  init(type: UInt32, bytes: [UInt8]?) {
    self.type = type
    self.bytes = bytes
  }

  private init(_ type: UInt32, _ value: (some FixedWidthInteger)?) {
    self.type = type
    bytes = value.map { withUnsafeBytes(of: $0.bigEndian, Array.init) }
  }
}

/// The numbers of the types in PostgreSQL's own catalogue (pg_type.dat); they never change.
enum TypeID {
  static let bool: UInt32 = 16
  static let bytes: UInt32 = 17
  static let int8: UInt32 = 20
  static let int2: UInt32 = 21
  static let int4: UInt32 = 23
  static let text: UInt32 = 25
  static let double: UInt32 = 701
  static let uuid: UInt32 = 2950

  static let bools: UInt32 = 1000
  static let bytesArray: UInt32 = 1001
  static let int2s: UInt32 = 1005
  static let int4s: UInt32 = 1007
  static let texts: UInt32 = 1009
  static let int8s: UInt32 = 1016
  static let doubles: UInt32 = 1022
  static let uuids: UInt32 = 2951
}

extension UnsafeBufferPointer<UInt8> {
  /// Whether PostgreSQL can keep this text: it knows no U+0000.
  var isStorable: Bool {
    guard let baseAddress else { return true }
    return memchr(baseAddress, 0, count) == nil
  }
}

extension [UInt8] {
  /// A text that PostgreSQL can keep.
  init(storable text: UnsafeBufferPointer<UInt8>) {
    self = text.isStorable ? Array(text) : text.flatMap { $0 == 0 ? [0xEF, 0xBF, 0xBD] : [$0] }
  }
}
