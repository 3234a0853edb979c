// Reads a compiled time zone: TZif of version 2 or later (RFC 9636), as /usr/share/zoneinfo has it. Nothing in the bytes is
// believed unchecked, and a file is refused whole rather than half understood.

enum ZoneFile {
  /// The largest of the database is below 4 KiB, and below 8 with every change written out.
  static let longest = 256 * 1024

  static func rules(named name: String, in bytes: [UInt8]) throws(UnreadableZone) -> ZoneRules {
    var reader = ByteReader(bytes)
    let old = try header(&reader)
    guard old.version >= UInt8(ascii: "2") else { throw UnreadableZone("is of the first version, which ends in 2037") }
    // The first block repeats for old programs what 32 bits can hold.
    try reader.skip(old.size(ofTime: 4))
    let counts = try header(&reader)
    guard counts.leapSeconds == 0 else { throw UnreadableZone("counts leap seconds") }
    guard counts.types > 0 else { throw UnreadableZone("has no types of local time") }
    let times = try reader.many(counts.times) { reader throws(UnreadableZone) in try reader.integer(bytes: 8) }
    let kinds = try reader.many(counts.times) { reader throws(UnreadableZone) in
      Int(try reader.integer(bytes: 1) & 0xFF)
    }
    let types = try reader.many(counts.types) { reader throws(UnreadableZone) in
      let offset = try reader.integer(bytes: 4)
      try reader.skip(2)
      // RFC 9636 §3.2: no clock is further away from UTC.
      guard (-89_999...93_599).contains(offset) else { throw UnreadableZone("has an offset of \(offset) seconds") }
      return offset
    }
    try reader.skip(counts.letters + counts.standardFlags + counts.universalFlags)
    return try ZoneRules(
      name: name, times: times, offsets: offsets(kinds, types), initialOffset: types[0], future: footer(&reader))
  }

  private static func offsets(_ kinds: [Int], _ types: [Int64]) throws(UnreadableZone) -> [Int64] {
    guard kinds.allSatisfy({ $0 < types.count }) else { throw UnreadableZone("names a type that it does not have") }
    return kinds.map { types[$0] }
  }

  private struct Counts {
    var version: UInt8
    var universalFlags: Int
    var standardFlags: Int
    var leapSeconds: Int
    var times: Int
    var types: Int
    var letters: Int

    /// Of the block that follows the header.
    func size(ofTime bytes: Int) -> Int {
      times * (bytes + 1) + types * 6 + letters + leapSeconds * (bytes + 4) + standardFlags + universalFlags
    }
  }

  /// RFC 9636 §3.1
  private static func header(_ reader: inout ByteReader) throws(UnreadableZone) -> Counts {
    guard try reader.bytes(4).elementsEqual("TZif".utf8) else { throw UnreadableZone("is not a TZif file") }
    let version = UInt8(truncatingIfNeeded: try reader.integer(bytes: 1))
    try reader.skip(15)
    let counts = try reader.many(6) { reader throws(UnreadableZone) in
      let count = try reader.integer(bytes: 4)
      guard (0...Int64(longest)).contains(count) else { throw UnreadableZone("has a count of \(count)") }
      return Int(count)
    }
    return Counts(
      version: version, universalFlags: counts[0], standardFlags: counts[1], leapSeconds: counts[2], times: counts[3],
      types: counts[4], letters: counts[5])
  }

  /// RFC 9636 §3.3: what holds after the last change, between two line ends.
  private static func footer(_ reader: inout ByteReader) throws(UnreadableZone) -> ZoneFuture? {
    let rest = reader.rest
    guard rest.first == newline, let end = rest.dropFirst().firstIndex(of: newline) else {
      throw UnreadableZone("ends too soon")
    }
    let text = rest[(rest.startIndex + 1)..<end]
    return text.isEmpty ? nil : try PosixZone.future(text)
  }

  private static let newline = UInt8(ascii: "\n")
}

/// Why a file is of no use: goes after its name.
struct UnreadableZone: Error, Hashable {
  let reason: String

  init(_ reason: String) {
    self.reason = reason
  }
}

extension ZoneRules {
  /// Leaves out changes of names only.
  fileprivate init(
    name: String, times: [Int64], offsets: [Int64], initialOffset: Int64, future: ZoneFuture?
  ) throws(UnreadableZone) {
    guard zip(times, times.dropFirst()).allSatisfy({ $0 < $1 }) else {
      throw UnreadableZone("has changes that are out of order")
    }
    var changes: [Int64] = []
    var kept: [Int64] = []
    for (time, offset) in zip(times, offsets) where offset != kept.last ?? initialOffset {
      // Some files begin at the beginning of the world.
      guard time > Self.earliest, time < Self.latest else { continue }
      changes.append(time)
      kept.append(offset)
    }
    self.init(name: name, changes: changes, offsets: kept, initialOffset: initialOffset, future: future)
  }
}

private struct ByteReader {
  private(set) var rest: ArraySlice<UInt8>

  init(_ bytes: [UInt8]) {
    rest = bytes[...]
  }

  mutating func bytes(_ count: Int) throws(UnreadableZone) -> ArraySlice<UInt8> {
    guard rest.count >= count else { throw UnreadableZone("ends too soon") }
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  mutating func skip(_ count: Int) throws(UnreadableZone) {
    _ = try bytes(count)
  }

  /// Big-endian, in two's complement.
  mutating func integer(bytes count: Int) throws(UnreadableZone) -> Int64 {
    let value = try bytes(count).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    let unused = UInt64(64 - count * 8)
    return Int64(bitPattern: value << unused) >> Int64(unused)
  }

  mutating func many<Element>(
    _ count: Int, _ read: (inout ByteReader) throws(UnreadableZone) -> Element
  ) throws(UnreadableZone) -> [Element] {
    // Each element takes a byte at least, so that a count alone allocates nothing.
    guard count <= rest.count else { throw UnreadableZone("ends too soon") }
    var elements: [Element] = []
    for _ in 0..<count { elements.append(try read(&self)) }
    return elements
  }
}
