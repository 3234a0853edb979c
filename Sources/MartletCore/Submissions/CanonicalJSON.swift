// One text for all ways to write the same request, so that a repeated one is known again: names sorted, no white space that
// means nothing, numbers as they were written. Of it the fingerprint is made that is kept with an idempotency key.

package enum CanonicalJSON {
  /// Names are compared and sorted by their bytes once escapes are resolved; strings are written in one way.
  /// - Parameter omitted: members of the root that do not count.
  package static func bytes(of value: JSONSlice, without omitted: Set<String> = []) -> [UInt8] {
    var json = JSONWriter(capacity: value.bytes.count)
    write(value, without: omitted, to: &json)
    return json.bytes
  }

  private static func write(_ value: JSONSlice, without omitted: Set<String>, to json: inout JSONWriter) {
    switch value.kind {
    case .object:
      let members = (value.members ?? []).filter { !omitted.contains($0.name) }
        .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
      json.object { json in
        for (name, value) in members {
          json.name(name)
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
    case .string: json.string(value.string ?? "")
    case .number, .boolean, .null: json.raw(value.bytes)
    }
  }
}
