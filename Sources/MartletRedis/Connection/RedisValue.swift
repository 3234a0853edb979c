// What Redis answers. Made by `ReplyReader`.

package enum RedisValue: Sendable, Hashable {
  case null
  case integer(Int64)
  /// A status such as `OK`, or any string of bytes.
  case text([UInt8])
  /// Its code first: `NOSCRIPT …`.
  case error(String)
  case array([RedisValue])

  package var integer: Int64? {
    if case .integer(let value) = self { value } else { nil }
  }

  package var bytes: [UInt8]? {
    if case .text(let bytes) = self { bytes } else { nil }
  }

  package var string: String? {
    bytes.map { String(decoding: $0, as: UTF8.self) }
  }

  package var array: [RedisValue]? {
    if case .array(let values) = self { values } else { nil }
  }

  package var error: String? {
    if case .error(let line) = self { line } else { nil }
  }
}
