// The few forms of Protocol Buffers' wire format that spans are made of (https://protobuf.dev/programming-guides/encoding/). Values
// that are the default of their field are left out, as the format has it.

struct ProtobufWriter {
  private(set) var bytes: [UInt8] = []

  private enum WireType: UInt64 {
    case varint = 0
    case fixed64 = 1
    case lengthDelimited = 2
    case fixed32 = 5
  }

  init(capacity: Int = 0) {
    bytes.reserveCapacity(capacity)
  }

  mutating func number(_ field: UInt64, _ value: UInt64, evenIfZero: Bool = false) {
    guard value != 0 || evenIfZero else { return }
    tag(field, .varint)
    varint(value)
  }

  mutating func fixed64(_ field: UInt64, _ value: UInt64, evenIfZero: Bool = false) {
    guard value != 0 || evenIfZero else { return }
    tag(field, .fixed64)
    for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
  }

  mutating func fixed32(_ field: UInt64, _ value: UInt32) {
    guard value != 0 else { return }
    tag(field, .fixed32)
    for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift))) }
  }

  mutating func text(_ field: UInt64, _ value: String, evenIfEmpty: Bool = false) {
    var value = value
    value.withUTF8 { utf8 in
      guard !utf8.isEmpty || evenIfEmpty else { return }
      tag(field, .lengthDelimited)
      varint(UInt64(utf8.count))
      bytes.append(contentsOf: utf8)
    }
  }

  mutating func raw(_ field: UInt64, _ value: some Collection<UInt8>) {
    tag(field, .lengthDelimited)
    varint(UInt64(value.count))
    bytes.append(contentsOf: value)
  }

  /// A message inside this one; an empty one is there too.
  mutating func message(_ field: UInt64, _ body: (inout ProtobufWriter) -> Void) {
    var inner = ProtobufWriter()
    body(&inner)
    raw(field, inner.bytes)
  }

  private mutating func tag(_ field: UInt64, _ type: WireType) {
    varint(field << 3 | type.rawValue)
  }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
