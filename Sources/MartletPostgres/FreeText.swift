// Text that tasks say about themselves may hold any character, but PostgreSQL's text cannot hold U+0000. It stands as U+001A and
// a zero there, U+001A itself as U+001A and a one: seldom seen, and everything else stays readable.

private let mark = UInt8(0x1A)

extension String {
  var escaped: String {
    guard utf8.contains(where: { $0 == 0 || $0 == mark }) else { return self }
    var bytes: [UInt8] = []
    for byte in utf8 {
      switch byte {
      case 0: bytes += [mark, UInt8(ascii: "0")]
      case mark: bytes += [mark, UInt8(ascii: "1")]
      default: bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  var unescaped: String {
    guard utf8.contains(mark) else { return self }
    var bytes: [UInt8] = []
    var isMarked = false
    for byte in utf8 {
      if isMarked { bytes.append(byte == UInt8(ascii: "0") ? 0 : mark) } else if byte != mark { bytes.append(byte) }
      isMarked = !isMarked && byte == mark
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
