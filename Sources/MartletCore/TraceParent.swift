// The `traceparent` of W3C Trace Context (level 1, §3.2): which trace something belongs to, and below which span. What is none is
// ignored, as the standard asks. Read at the edge, by the tracer, and where the log names a trace.

package struct TraceParent: Sendable, Hashable {
  package var traceHigh: UInt64
  package var traceLow: UInt64
  package var spanID: UInt64
  /// Whoever began the trace keeps it.
  package var isSampled: Bool

  package init(traceHigh: UInt64, traceLow: UInt64, spanID: UInt64, isSampled: Bool) {
    self.traceHigh = traceHigh
    self.traceLow = traceLow
    self.spanID = spanID
    self.isSampled = isSampled
  }

  package init?(_ text: String) {
    let bytes = Array(text.utf8)
    let dash = UInt8(ascii: "-")
    guard (55...512).contains(bytes.count), bytes[2] == dash, bytes[35] == dash, bytes[52] == dash,
      let version = Self.number(bytes[0..<2]), version != 0xFF,
      // Later versions may have more behind a further dash.
      bytes.count == 55 || (version != 0 && bytes[55] == dash),
      let high = Self.number(bytes[3..<19]), let low = Self.number(bytes[19..<35]), high | low != 0,
      let span = Self.number(bytes[36..<52]), span != 0,
      let flags = Self.number(bytes[53..<55])
    else { return nil }
    self.init(traceHigh: high, traceLow: low, spanID: span, isSampled: flags & 1 == 1)
  }

  package static func isValid(_ text: String) -> Bool { TraceParent(text) != nil }

  /// In the standard's version 00.
  package var text: String { "00-\(traceIDText)-\(spanIDText)-\(isSampled ? "01" : "00")" }
  /// 32 digits.
  package var traceIDText: String { Self.digits(traceHigh) + Self.digits(traceLow) }
  /// 16 digits.
  package var spanIDText: String { Self.digits(spanID) }

  private static func digits(_ value: UInt64) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: 16 - text.utf8.count) + text
  }

  /// Lower case only.
  private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    for digit in digits {
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(digit - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
      default: return nil
      }
    }
    return value
  }
}
