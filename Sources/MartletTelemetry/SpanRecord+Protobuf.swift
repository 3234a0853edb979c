// Spans in the words of OpenTelemetry's protocol, opentelemetry.proto.trace.v1 (https://opentelemetry.io/docs/specs/otlp/). The
// numbers are those of its fields.

internal import MartletCore
package import Tracing

extension SpanRecord {
  /// A `Span`, bounded: of too many attributes some are left out, long texts are cut.
  var protobuf: [UInt8] {
    var span = ProtobufWriter(capacity: 512)
    span.raw(1, identity.traceIDBytes)
    span.raw(2, identity.spanIDBytes)
    if parentID != 0 { span.raw(4, parentID.bigEndianBytes) }
    span.text(5, Self.cut(name))
    span.number(6, kind.number)
    span.fixed64(7, start)
    span.fixed64(8, end)
    span.number(10, UInt64(span.attributes(9, attributes)))
    for event in events {
      span.message(11) { message in
        message.fixed64(1, event.nanosecondsSinceEpoch)
        message.text(2, Self.cut(event.name))
        message.number(4, UInt64(message.attributes(3, event.attributes)))
      }
    }
    span.number(12, UInt64(droppedEvents))
    for link in links {
      span.message(13) { message in
        message.raw(1, link.identity.traceIDBytes)
        message.raw(2, link.identity.spanIDBytes)
        message.number(5, UInt64(message.attributes(4, link.attributes)))
        message.fixed32(6, link.identity.isSampled ? 1 : 0)
      }
    }
    span.number(14, UInt64(droppedLinks))
    if let status {
      span.message(15) { message in
        if let text = status.message { message.text(2, Self.cut(text)) }
        message.number(3, status.code == .ok ? 1 : 2)
      }
    }
    span.fixed32(16, identity.isSampled ? 1 : 0)
    return span.bytes
  }

  /// At most `longestText` bytes, and not in the middle of a character.
  static func cut(_ text: String) -> String {
    guard text.utf8.count > longestText else { return text }
    var bytes = Array(text.utf8.prefix(longestText + 1))
    // The first byte of a character is none of those that continue one.
    while bytes.popLast().map({ $0 & 0xC0 == 0x80 }) == true {}
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// What sends the spans, and as part of what: said once in each message.
package struct SpanOrigin: Sendable {
  /// `service.name` and so on.
  package var resource: [(String, SpanAttribute)]
  package var scopeName: String
  package var scopeVersion: String

  package init(resource: [(String, SpanAttribute)], scopeName: String, scopeVersion: String) {
    self.resource = resource
    self.scopeName = scopeName
    self.scopeVersion = scopeVersion
  }

  /// An `ExportTraceServiceRequest`.
  /// - Parameter spans: each a `Span`.
  func request(_ spans: [[UInt8]]) -> [UInt8] {
    var scope = ProtobufWriter(capacity: 128 + spans.reduce(0) { $0 + $1.count + 6 })
    scope.message(1) { message in
      message.text(1, scopeName)
      message.text(2, scopeVersion)
    }
    for span in spans { scope.raw(2, span) }
    var request = ProtobufWriter(capacity: scope.bytes.count + 512)
    request.message(1) { resourceSpans in
      resourceSpans.message(1) { message in
        for (name, value) in resource { message.attribute(1, name, value) }
      }
      resourceSpans.raw(2, scope.bytes)
    }
    return request.bytes
  }
}

/// What an `ExportTraceServiceResponse` says of spans that were not taken.
enum PartialSuccess {
  /// 0 where it says nothing, or nothing that can be read.
  static func rejected(in response: [UInt8]) -> Int {
    guard let partial = ProtobufReader(response).bytes(1) else { return 0 }
    return Int(clamping: ProtobufReader(partial).number(1) ?? 0)
  }
}

/// Finds single fields of a message.
private struct ProtobufReader {
  private let bytes: [UInt8]

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  func number(_ field: UInt64) -> UInt64? {
    if case .number(let value)? = find(field) { value } else { nil }
  }

  func bytes(_ field: UInt64) -> [UInt8]? {
    if case .bytes(let value)? = find(field) { value } else { nil }
  }

  private enum Value {
    case number(UInt64)
    case bytes([UInt8])
  }

  private func find(_ field: UInt64) -> Value? {
    var rest = bytes[...]
    while let tag = Self.varint(&rest) {
      let value: Value
      switch tag & 7 {
      case 0:
        guard let number = Self.varint(&rest) else { return nil }
        value = .number(number)
      case 1, 5:
        let length = tag & 7 == 1 ? 8 : 4
        guard rest.count >= length else { return nil }
        value = .bytes(Array(rest.prefix(length)))
        rest = rest.dropFirst(length)
      case 2:
        guard let length = Self.varint(&rest), length <= UInt64(rest.count) else { return nil }
        value = .bytes(Array(rest.prefix(Int(length))))
        rest = rest.dropFirst(Int(length))
      default: return nil
      }
      if tag >> 3 == field { return value }
    }
    return nil
  }

  private static func varint(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard let byte = rest.popFirst() else { return nil }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }
}

extension ProtobufWriter {
  /// - Returns: how many were left out.
  fileprivate mutating func attributes(_ field: UInt64, _ attributes: SpanAttributes) -> Int {
    var all: [(String, SpanAttribute)] = []
    all.reserveCapacity(attributes.count)
    func add(_ name: String, _ value: SpanAttribute) { all.append((name, value)) }
    attributes.forEach(add)
    if all.count > SpanRecord.most { all.sort { $0.0 < $1.0 } }
    for (name, value) in all.prefix(SpanRecord.most) { attribute(field, name, value) }
    return max(0, all.count - SpanRecord.most)
  }

  fileprivate mutating func attribute(_ field: UInt64, _ name: String, _ value: SpanAttribute) {
    message(field) { pair in
      pair.text(1, SpanRecord.cut(name))
      pair.message(2) { $0.value(value) }
    }
  }

  /// An `AnyValue`, of which a default is written too: it says which kind it is.
  private mutating func value(_ value: SpanAttribute) {
    switch value {
    case .string(let text): text1(text)
    case .stringConvertible(let some): text1("\(some)")
    case .bool(let flag): number(2, flag ? 1 : 0, evenIfZero: true)
    case .int32(let number): self.number(3, UInt64(bitPattern: Int64(number)), evenIfZero: true)
    case .int64(let number): self.number(3, UInt64(bitPattern: number), evenIfZero: true)
    case .double(let number): fixed64(4, number.bitPattern, evenIfZero: true)
    case .stringArray(let texts): array(texts.map { .string($0) })
    case .stringConvertibleArray(let some): array(some.map { .string("\($0)") })
    case .boolArray(let flags): array(flags.map { .bool($0) })
    case .int32Array(let numbers): array(numbers.map { .int32($0) })
    case .int64Array(let numbers): array(numbers.map { .int64($0) })
    case .doubleArray(let numbers): array(numbers.map { .double($0) })
    default: text1("")
    }
  }

  private mutating func text1(_ text: String) { self.text(1, SpanRecord.cut(text), evenIfEmpty: true) }

  private mutating func array(_ values: [SpanAttribute]) {
    message(5) { array in
      for value in values.prefix(SpanRecord.most) { array.message(1) { $0.value(value) } }
    }
  }
}

extension TraceParent {
  fileprivate var traceIDBytes: [UInt8] { traceHigh.bigEndianBytes + traceLow.bigEndianBytes }
  fileprivate var spanIDBytes: [UInt8] { spanID.bigEndianBytes }
}

extension UInt64 {
  fileprivate var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}

extension SpanKind {
  fileprivate var number: UInt64 {
    switch self {
    case .internal: 1
    case .server: 2
    case .client: 3
    case .producer: 4
    case .consumer: 5
    }
  }
}
