// JSON texts, by `JSONScanner` and everything that stands on it. Foundation's reader is the second opinion.

#if DEBUG || MARTLET_FUZZ
  import Foundation
  import MartletCore

  enum JSONTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      let root: JSONSlice
      do throws(JSONError) {
        root = try JSONScanner.scan(bytes, maxDepth: .max)
      } catch {
        try agrees(bytes, nil)
        // A bound on depth makes nothing valid.
        try require((try? JSONScanner.scan(bytes)) == nil, "valid with a bound on depth, not without")
        return try written(bytes)
      }
      try agrees(bytes, root)
      let depth = depth(of: bytes)
      try bounded(bytes, depth)
      // What walks over a value goes down by calling itself, as its callers do for 64 levels.
      guard depth <= 200 else { return }
      try walked(root)
      try canonical(root)
    }

    /// Valid is what Foundation takes, and it means the same.
    private static func agrees(_ bytes: [UInt8], _ root: JSONSlice?) throws(Finding) {
      // Foundation guesses at UTF-16 and UTF-32 by the first bytes, and takes a byte order mark.
      guard !bytes.prefix(4).contains(where: { $0 == 0 || $0 >= 0xEF }) else { return }
      let other = try? JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
      guard let root else {
        // It takes a comma behind the last member.
        let packed = bytes.filter { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
        let hasLastComma = zip(packed, packed.dropFirst()).contains { $0 == 0x2C && ($1 == 0x7D || $1 == 0x5D) }
        return try require(other == nil || hasLastComma, "Foundation takes it")
      }
      // Its own limits: 512 levels, whole characters, numbers that it can hold.
      guard depth(of: bytes) < 500, !root.hasLoneSurrogate, !hasExtremeNumber(root) else { return }
      guard let other else { throw Finding("Foundation does not take it") }
      try require(same(root, other), "Foundation reads another value")
    }

    private static func same(_ slice: JSONSlice, _ other: Any) -> Bool {
      switch slice.kind {
      case .object:
        guard let members = slice.members, let other = other as? [String: Any] else { return false }
        // Which one of two equal names counts is anybody's choice.
        guard Set(members.map(\.name)).count == members.count else { return true }
        return members.count == other.count
          && members.allSatisfy { name, value in other[name].map { same(value, $0) } ?? false }
      case .array:
        guard let elements = slice.elements, let other = other as? [Any] else { return false }
        return elements.count == other.count && zip(elements, other).allSatisfy { same($0, $1) }
      case .string:
        return (other as? String)?.unicodeScalars.elementsEqual(slice.string?.unicodeScalars ?? "a".unicodeScalars)
          == true
      case .boolean: return (other as? Bool) == slice.bool
      case .null: return other is NSNull
      case .number:
        guard let number = (other as? NSNumber)?.doubleValue, let own = slice.double else { return false }
        return abs(number - own) <= abs(own) * 1e-9
      }
    }

    private static func hasExtremeNumber(_ slice: JSONSlice) -> Bool {
      switch slice.kind {
      case .object: return (slice.members ?? []).contains { hasExtremeNumber($0.value) }
      case .array: return (slice.elements ?? []).contains(where: hasExtremeNumber)
      case .number:
        guard let value = slice.double else { return true }
        return !(value == 0 || (1e-290...1e290).contains(abs(value))) || slice.bytes.count > 100
      default: return false
      }
    }

    /// Exactly as deep as it is said.
    private static func bounded(_ bytes: [UInt8], _ depth: Int) throws(Finding) {
      for limit in [0, 1, 4, 64, 127, 128, 129] {
        do throws(JSONError) {
          _ = try JSONScanner.scan(bytes, maxDepth: limit)
        } catch {
          try require(depth > limit && error == .tooDeep(limit: limit), "\(depth) levels within \(limit): \(error)")
          continue
        }
        try require(depth <= limit, "\(depth) levels pass for \(limit)")
      }
    }

    /// Of a valid text.
    static func depth(of bytes: [UInt8]) -> Int {
      var (depth, most) = (0, 0)
      var (isInText, isEscaped) = (false, false)
      for byte in bytes {
        if isInText {
          if isEscaped {
            isEscaped = false
          } else if byte == UInt8(ascii: "\\") {
            isEscaped = true
          } else if byte == UInt8(ascii: "\"") {
            isInText = false
          }
        } else if byte == UInt8(ascii: "\"") {
          isInText = true
        } else if byte == UInt8(ascii: "[") || byte == UInt8(ascii: "{") {
          depth += 1
          most = max(most, depth)
        } else if byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}") {
          depth -= 1
        }
      }
      return most
    }

    /// All ways to look at a value agree, and each part of it is a value by itself.
    private static func walked(_ slice: JSONSlice) throws(Finding) {
      let alone: JSONSlice
      do throws(JSONError) { alone = try JSONScanner.scan(slice.bytes, maxDepth: .max) } catch {
        throw Finding("a part of it is no value by itself: \(error)")
      }
      try require(alone.kind == slice.kind && alone.bytes == slice.bytes, "a part of it is another value by itself")
      switch slice.kind {
      case .object:
        let members = slice.members ?? []
        let few = slice.members(atMost: 2) ?? []
        try require(
          few.count == min(2, members.count) && zip(few, members).allSatisfy { $0.name == $1.name },
          "the first members are others")
        let written = slice.writtenMembers ?? []
        try require(
          written.count == members.count
            && zip(written, members).allSatisfy { $0.name.string == $1.name && $0.value.bytes == $1.value.bytes },
          "written members are others")
        if let first = members.first {
          try require(slice[first.name]?.bytes == first.value.bytes, "the first of a name is not found")
        }
        for (_, value) in members { try walked(value) }
      case .array:
        let elements = slice.elements ?? []
        try require(slice.elements(atMost: 3)?.count == min(3, elements.count), "the first elements are others")
        for element in elements { try walked(element) }
      case .number:
        guard let number = slice.double else { throw Finding("a number is none") }
        if let whole = slice.int {
          try require(Double(whole) == number || abs(Double(whole)) >= 0x1p53, "\(whole) is \(number)")
        }
      case .string: try require(slice.string != nil, "a text is none")
      case .boolean: try require(slice.bool != nil, "a truth is none")
      case .null: try require(slice.isNull, "null is not null")
      }
    }

    /// Written again it is the same, and there is one canonical text.
    private static func canonical(_ root: JSONSlice) throws(Finding) {
      let once = CanonicalJSON.bytes(of: root)
      guard let again = try? JSONScanner.scan(once, maxDepth: .max) else { throw Finding("canonical, and not JSON") }
      try require(CanonicalJSON.bytes(of: again) == once, "canonical twice is not canonical once")
      guard !root.hasLoneSurrogate else { return }
      var json = JSONWriter()
      write(root, to: &json)
      guard let copy = try? JSONScanner.scan(json.bytes, maxDepth: .max) else { throw Finding("written, and not JSON") }
      try require(CanonicalJSON.bytes(of: copy) == once, "written again it is another value")
    }

    private static func write(_ slice: JSONSlice, to json: inout JSONWriter) {
      switch slice.kind {
      case .object:
        json.object { json in
          for (name, value) in slice.members ?? [] {
            json.name(name)
            write(value, to: &json)
          }
        }
      case .array: json.array(of: slice.elements ?? []) { write($1, to: &$0) }
      case .string: json.string(slice.string ?? "")
      case .number: json.raw(slice.bytes)
      case .boolean: json.bool(slice.bool ?? false)
      case .null: json.null()
      }
    }

    /// Any text comes back from JSON as it went in.
    private static func written(_ bytes: [UInt8]) throws(Finding) {
      let text = String(decoding: bytes, as: UTF8.self)
      var json = JSONWriter()
      json.object { json in json.field(text, text) }
      guard let root = try? JSONScanner.scan(json.bytes), let member = root.members?.first else {
        throw Finding("a text that was written is not JSON")
      }
      try require(member.name.utf8.elementsEqual(text.utf8), "a name comes back as another")
      try require(member.value.string?.utf8.elementsEqual(text.utf8) == true, "a text comes back as another")
      try require(JSONPointer.escaped(text).utf8.count <= 2 * 1024 + 3, "a pointer has no end")
    }
  }
#endif
