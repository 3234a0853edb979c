// Reads OTLP messages by the description of the format and not by the code that writes them.

internal import Foundation
package import MartletTelemetry

/// A message as its fields, in order.
package struct WireMessage {
  package enum Value: Equatable {
    case varint(UInt64)
    case fixed64(UInt64)
    case fixed32(UInt32)
    case bytes([UInt8])
  }

  package let fields: [(number: Int, value: Value)]

  package struct Malformed: Error {}

  package init(_ bytes: [UInt8]) throws {
    var position = 0
    var fields: [(number: Int, value: Value)] = []
    func byte() throws -> UInt8 {
      guard position < bytes.count else { throw Malformed() }
      defer { position += 1 }
      return bytes[position]
    }
    func varint() throws -> UInt64 {
      var value: UInt64 = 0
      var shift: UInt64 = 0
      while true {
        let next = try byte()
        value += UInt64(next % 128) << shift
        if next < 128 { return value }
        shift += 7
        guard shift < 70 else { throw Malformed() }
      }
    }
    func fixed(_ count: Int) throws -> UInt64 {
      try (0..<count).reduce(UInt64(0)) { value, index in value + UInt64(try byte()) << UInt64(8 * index) }
    }
    while position < bytes.count {
      let tag = try varint()
      let value: Value =
        switch tag % 8 {
        case 0: .varint(try varint())
        case 1: .fixed64(try fixed(8))
        case 2: .bytes(try (0..<Int(try varint())).map { _ in try byte() })
        case 5: .fixed32(UInt32(try fixed(4)))
        default: throw Malformed()
        }
      fields.append((Int(tag / 8), value))
    }
    self.fields = fields
  }

  package func all(_ number: Int) -> [Value] { fields.filter { $0.number == number }.map(\.value) }

  package func messages(_ number: Int) throws -> [WireMessage] {
    try all(number).map { value in
      guard case .bytes(let bytes) = value else { throw Malformed() }
      return try WireMessage(bytes)
    }
  }

  package func bytes(_ number: Int) -> [UInt8] {
    if case .bytes(let bytes)? = all(number).first { bytes } else { [] }
  }

  package func text(_ number: Int) -> String { String(decoding: bytes(number), as: UTF8.self) }

  package func number(_ number: Int) -> UInt64 {
    switch all(number).first {
    case .varint(let value), .fixed64(let value): value
    case .fixed32(let value): UInt64(value)
    case .bytes, nil: 0
    }
  }

  /// `KeyValue`s.
  package func attributes(_ number: Int) throws -> [String: String] {
    var all: [String: String] = [:]
    for pair in try messages(number) {
      guard let value = try pair.messages(2).first else { throw Malformed() }
      all[pair.text(1)] = try value.anyValue
    }
    return all
  }

  private var anyValue: String {
    get throws {
      guard let field = fields.first, fields.count == 1 else { throw Malformed() }
      switch (field.number, field.value) {
      case (1, .bytes(let bytes)): return String(decoding: bytes, as: UTF8.self)
      case (2, .varint(let flag)): return flag == 1 ? "true" : "false"
      case (3, .varint(let number)): return String(Int64(bitPattern: number))
      case (4, .fixed64(let bits)): return String(Double(bitPattern: bits))
      case (5, .bytes(let bytes)):
        return "[" + (try WireMessage(bytes).messages(1).map { try $0.anyValue }.joined(separator: ",")) + "]"
      default: throw Malformed()
      }
    }
  }
}

package struct DecodedSpan {
  package var traceID: String
  package var spanID: String
  package var parentID: String
  package var name: String
  package var kind: UInt64
  package var start: UInt64
  package var end: UInt64
  package var attributes: [String: String]
  package var events: [(name: String, attributes: [String: String])]
  package var statusCode: UInt64
  package var statusMessage: String

  package init(_ bytes: [UInt8]) throws {
    let message = try WireMessage(bytes)
    traceID = Self.hex(message.bytes(1))
    spanID = Self.hex(message.bytes(2))
    parentID = Self.hex(message.bytes(4))
    name = message.text(5)
    kind = message.number(6)
    start = message.number(7)
    end = message.number(8)
    attributes = try message.attributes(9)
    events = try message.messages(11).map { ($0.text(2), try $0.attributes(3)) }
    let status = try message.messages(15).first
    statusCode = status?.number(3) ?? 0
    statusMessage = status?.text(2) ?? ""
  }

  private static func hex(_ bytes: [UInt8]) -> String {
    bytes.map { String(format: "%02x", $0) }.joined()
  }
}

extension SpanQueue {
  /// What has ended so far.
  package func decoded() throws -> [DecodedSpan] { try take().map { try DecodedSpan($0) } }
}

extension [DecodedSpan] {
  /// The only one of that name.
  package func one(_ name: String) throws -> DecodedSpan {
    let all = filter { $0.name == name }
    guard all.count == 1 else { throw NotOne(name: name, names: map(\.name)) }
    return all[0]
  }
}

package struct NotOne: Error {
  package var name: String
  /// Of all that there are.
  package var names: [String]
}
