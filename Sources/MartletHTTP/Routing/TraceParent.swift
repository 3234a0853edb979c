// Whether a `traceparent` is one of W3C Trace Context (level 1, §3.2). What is not is ignored, as the standard asks.

enum TraceParent {
  static func isValid(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    guard bytes.count >= 55, bytes.count <= 512 else { return false }
    for index in 0..<55 {
      let wantsDash = index == 2 || index == 35 || index == 52
      guard wantsDash ? bytes[index] == UInt8(ascii: "-") : isDigit(bytes[index]) else { return false }
    }
    let version = bytes[0..<2]
    guard !version.elementsEqual("ff".utf8) else { return false }
    // Later versions may have more behind a further dash.
    guard bytes.count == 55 || (!version.elementsEqual("00".utf8) && bytes[55] == UInt8(ascii: "-")) else {
      return false
    }
    func isZero(_ range: Range<Int>) -> Bool { bytes[range].allSatisfy { $0 == UInt8(ascii: "0") } }
    return !isZero(3..<35) && !isZero(36..<52)
  }

  /// Lower case only.
  private static func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }
}
