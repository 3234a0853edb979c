// The identity of a task: a UUIDv7 (RFC 9562 §5.7), so that ids sort by the time of submission and insert at the end
// of every index. `TaskService` draws them; the stores only keep them.

internal import Synchronization

/// A UUID of 128 bits, written in lower case with hyphens.
public struct TaskID: Hashable, Comparable, Sendable, LosslessStringConvertible {
  package let high: UInt64
  package let low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// Reads the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` in either case; nil for anything else.
  public init?(_ text: String) {
    guard let parsed = Self.parse(text.utf8) else { return nil }
    self = parsed
  }

  public var description: String {
    String(unsafeUninitializedCapacity: 36) { buffer in
      var position = 0
      for index in 0..<16 {
        if index == 4 || index == 6 || index == 8 || index == 10 {
          buffer[position] = UInt8(ascii: "-")
          position += 1
        }
        let byte = self[index]
        buffer[position] = Self.hexDigit(byte >> 4)
        buffer[position + 1] = Self.hexDigit(byte & 15)
        position += 2
      }
      return position
    }
  }

  public static func < (left: TaskID, right: TaskID) -> Bool {
    left.high != right.high ? left.high < right.high : left.low < right.low
  }

  /// The time in a UUIDv7's first 48 bits.
  package var timestamp: Timestamp { Timestamp(milliseconds: Int64(high >> 16)) }

  /// Byte `index` (0…15) in network order.
  package subscript(index: Int) -> UInt8 {
    UInt8(truncatingIfNeeded: index < 8 ? high >> (56 - 8 * UInt64(index)) : low >> (120 - 8 * UInt64(index)))
  }

  /// From 16 bytes in network order; nil for any other count.
  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 16 else { return nil }
    var high: UInt64 = 0
    var low: UInt64 = 0
    for (index, byte) in bytes.enumerated() {
      if index < 8 { high = high << 8 | UInt64(byte) } else { low = low << 8 | UInt64(byte) }
    }
    self.init(high: high, low: low)
  }

  private static func parse(_ text: String.UTF8View) -> TaskID? {
    guard text.count == 36 else { return nil }
    var high: UInt64 = 0
    var low: UInt64 = 0
    var digits = 0
    for (position, byte) in text.enumerated() {
      if position == 8 || position == 13 || position == 18 || position == 23 {
        guard byte == UInt8(ascii: "-") else { return nil }
        continue
      }
      guard let value = hexValue(byte) else { return nil }
      if digits < 16 { high = high << 4 | value } else { low = low << 4 | value }
      digits += 1
    }
    return TaskID(high: high, low: low)
  }

  package static func hexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
  }

  private static func hexValue(_ byte: UInt8) -> UInt64? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - UInt8(ascii: "a") + 10)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt64(byte - UInt8(ascii: "A") + 10)
    default: nil
    }
  }
}

extension TaskID: Codable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let id = TaskID(try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a UUID")
    }
    self = id
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

/// Draws UUIDv7s that never go backwards within one generator, whatever its clock does: within a millisecond, or when time
/// steps back, the 74 random bits are raised by a random step (RFC 9562 §6.2, method 2).
package final class TaskIDGenerator: Sendable {
  private struct Last {
    var milliseconds: UInt64 = 0
    var a: UInt64 = 0  // 12 bits
    var b: UInt64 = 0  // 62 bits
  }
  private let last = Mutex(Last())
  private let random: RandomSource

  package init(random: RandomSource) {
    self.random = random
  }

  package func next(at time: Timestamp) -> TaskID {
    let wanted = UInt64(max(0, min(time.milliseconds, 1 << 48 - 1)))
    let first = random.next()
    let second = random.next()
    return last.withLock { last in
      if wanted > last.milliseconds {
        last = Last(milliseconds: wanted, a: first & 0x7FF, b: second >> 2)  // top counter bit clear: room to count
      } else {
        last.b += second & 0xFFFF_FFFF | 1
        if last.b >= 1 << 62 {
          last.b &= 1 << 62 - 1
          last.a += 1
          if last.a == 1 << 12 {
            last.a = 0
            last.milliseconds += 1
          }
        }
      }
      return TaskID(high: last.milliseconds << 16 | 0x7000 | last.a, low: 0x8000_0000_0000_0000 | last.b)
    }
  }
}
