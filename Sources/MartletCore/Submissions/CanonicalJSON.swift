// One text for all ways to write the same request, so that a repeated one is known again: names sorted, no white space that
// means nothing, numbers as they were written. Of it the fingerprint is made that is kept with an idempotency key.

package enum CanonicalJSON {
  /// Names are compared and sorted by their bytes once escapes are resolved; strings are written in one way. What no text can
  /// hold, half of a surrogate pair, stays as it was written.
  /// - Parameter omitted: members of the root that do not count.
  package static func bytes(of value: JSONSlice, without omitted: Set<String> = []) -> [UInt8] {
    var json = JSONWriter(capacity: value.bytes.count)
    write(value, without: omitted, to: &json)
    return json.bytes
  }

  private static func write(_ value: JSONSlice, without omitted: Set<String>, to json: inout JSONWriter) {
    switch value.kind {
    case .object:
      let members = (value.writtenMembers ?? []).map { (name: Text($0.name), value: $0.value) }
        .filter { $0.name.torn != nil || !omitted.contains($0.name.text) }
        .sorted { $0.name.precedes($1.name) }
      json.object { json in
        for (name, value) in members {
          if let torn = name.torn { json.name(raw: torn) } else { json.name(name.text) }
          write(value, without: [], to: &json)
        }
      }
    case .array:
      json.array { json in
        value.forEachElement { _, element in
          write(element, without: [], to: &json)
          return true
        }
      }
    case .string:
      let text = Text(value)
      if let torn = text.torn { json.raw(torn) } else { json.string(text.text) }
    case .number, .boolean, .null: json.raw(value.bytes)
    }
  }

  private struct Text {
    let text: String
    /// As it was written, with its quotes, where `text` would be that of other strings too.
    let torn: [UInt8]?

    init(_ json: JSONSlice) {
      text = json.string ?? ""
      torn = json.hasLoneSurrogate ? json.bytes : nil
    }

    func precedes(_ other: Text) -> Bool {
      if text.utf8.elementsEqual(other.text.utf8) {
        return (torn ?? []).lexicographicallyPrecedes(other.torn ?? [])
      }
      return text.utf8.lexicographicallyPrecedes(other.text.utf8)
    }
  }
}
