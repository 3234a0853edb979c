// The opaque cursor of lists: what kind of place it is and the place itself, in base64url. Clients hand it back and read nothing
// into it, so that a later version may hold something else.

internal import MartletCore

struct Cursor: Sendable, Hashable {
  private let kind: Kind
  private let high: UInt64
  private let low: UInt64

  private enum Kind: UInt8 {
    case task = 1
    case audit = 2
    case attempt = 3
    case event = 4
    case notice = 6
  }

  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  /// The last task seen.
  init(before task: TaskID) {
    (kind, high, low) = (.task, task.high, task.low)
  }

  /// The last entry of the audit seen.
  init(after place: AuditPlace) {
    kind = .audit
    (high, low) = (UInt64(bitPattern: place.at.milliseconds), UInt64(bitPattern: place.sequence))
  }

  /// The number of the last attempt seen.
  init(afterAttempt number: Int) {
    (kind, high, low) = (.attempt, 0, UInt64(clamping: number))
  }

  /// The sequence of the last event seen.
  init(afterEvent sequence: Int) {
    (kind, high, low) = (.event, 0, UInt64(clamping: sequence))
  }

  /// The number of the last notice seen.
  init(beforeNotice number: Int64) {
    (kind, high, low) = (.notice, 0, UInt64(clamping: number))
  }

  /// Nil for everything that `text` did not make.
  init?(_ text: String) {
    guard let bytes = Self.decoded(text), let kind = bytes.first.flatMap(Kind.init), bytes.count == 17 else {
      return nil
    }
    self.kind = kind
    high = bytes[1..<9].reduce(0) { $0 << 8 | UInt64($1) }
    low = bytes[9...].reduce(0) { $0 << 8 | UInt64($1) }
    guard self.text == text else { return nil }
  }

  var before: TaskID? {
    kind == .task ? TaskID(bytes: bytes.dropFirst()) : nil
  }

  var afterAttempt: Int? { kind == .attempt ? number : nil }

  var afterEvent: Int? { kind == .event ? number : nil }

  var beforeNotice: Int64? { kind == .notice && high == 0 ? Int64(exactly: low) : nil }

  private var number: Int? { high == 0 ? Int(exactly: low) : nil }

  var auditPlace: AuditPlace? {
    guard kind == .audit else { return nil }
    return AuditPlace(at: Timestamp(milliseconds: Int64(bitPattern: high)), sequence: Int64(bitPattern: low))
  }

  var text: String {
    let bytes = bytes
    var text: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let group = bytes[start..<min(start + 3, bytes.count)]
      let bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) } << (8 * UInt32(3 - group.count))
      for place in 0...group.count { text.append(Self.alphabet[Int(bits >> (18 - 6 * UInt32(place))) & 63]) }
    }
    return String(decoding: text, as: UTF8.self)
  }

  private var bytes: [UInt8] {
    [kind.rawValue] + [high, low].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) } }
  }

  private static func decoded(_ text: String) -> [UInt8]? {
    guard text.utf8.count == 23 else { return nil }
    var bytes: [UInt8] = []
    var bits: UInt32 = 0
    var held: UInt32 = 0
    for character in text.utf8 {
      guard let value = alphabet.firstIndex(of: character) else { return nil }
      bits = bits << 6 | UInt32(value)
      held += 6
      if held >= 8 {
        held -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> held))
      }
    }
    return bytes
  }
}
