// Memory for what librabbitmq is told. It takes texts and tables by pointer and copies nothing, so they have to stay where they are
// until its call has returned; a Swift string's own bytes need not (a wrong routing key would still be confirmed).

internal import CRabbitMQ

/// Hands out pieces that live until `reset`, or as long as the arena itself.
final class RabbitArena {
  private static let size = 16 << 10
  private let first = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
  private var used = 0
  /// What did not fit.
  private var others: [UnsafeMutableRawPointer] = []

  deinit {
    reset()
    first.deallocate()
  }

  func reset() {
    for piece in others { piece.deallocate() }
    others.removeAll(keepingCapacity: true)
    used = 0
  }

  func text(_ text: String) -> amqp_bytes_t {
    var text = text
    return text.withUTF8 { utf8 in
      let piece = take(max(utf8.count, 1))
      if let start = utf8.baseAddress { piece.copyMemory(from: start, byteCount: utf8.count) }
      return amqp_bytes_t(len: utf8.count, bytes: piece)
    }
  }

  func table(_ entries: [(name: String, value: amqp_field_value_t)]) -> amqp_table_t {
    guard !entries.isEmpty else { return amqp_table_t() }
    let piece = take(MemoryLayout<amqp_table_entry_t>.stride * entries.count)
    let start = piece.bindMemory(to: amqp_table_entry_t.self, capacity: entries.count)
    for (index, entry) in entries.enumerated() {
      (start + index).initialize(to: amqp_table_entry_t(key: text(entry.name), value: entry.value))
    }
    return amqp_table_t(num_entries: Int32(entries.count), entries: start)
  }

  func value(_ text: String) -> amqp_field_value_t {
    var value = amqp_field_value_t()
    value.kind = UInt8(AMQP_FIELD_KIND_UTF8.rawValue)
    value.value.bytes = self.text(text)
    return value
  }

  func value(_ bool: Bool) -> amqp_field_value_t {
    var value = amqp_field_value_t()
    value.kind = UInt8(AMQP_FIELD_KIND_BOOLEAN.rawValue)
    value.value.boolean = bool ? 1 : 0
    return value
  }

  func value(_ table: amqp_table_t) -> amqp_field_value_t {
    var value = amqp_field_value_t()
    value.kind = UInt8(AMQP_FIELD_KIND_TABLE.rawValue)
    value.value.table = table
    return value
  }

  private func take(_ count: Int) -> UnsafeMutableRawPointer {
    let count = (count + 15) & ~15
    if used + count <= Self.size {
      defer { used += count }
      return first + used
    }
    others.append(.allocate(byteCount: count, alignment: 16))
    return others[others.count - 1]
  }
}

extension amqp_bytes_t {
  /// A copy.
  var array: [UInt8] { Array(UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : len)) }
  /// A copy, in one line.
  var line: String { String(String(decoding: array, as: UTF8.self).map { $0.isNewline ? " " : $0 }) }
}
