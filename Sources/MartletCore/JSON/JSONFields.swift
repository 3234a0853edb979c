// Reads the fields of one JSON object by name, collecting every problem: unknown names (with the nearest known one), repeated
// names, wrong kinds. `null` counts as absent.

/// An object's fields, checked against the names it may have.
package struct JSONFields {
  private let values: [String: JSONSlice]
  private let pointer: String
  private let mendsTexts: Bool

  /// Names in one object, entries in one array: further ones are not looked at. So a body costs no more than its own length,
  /// whatever is in it.
  package static let most = (names: 256, entries: 10_000)

  /// Anything but an object is a problem at `pointer`, and then all fields are absent.
  /// - Parameter mendsTexts: texts that are not whole characters are taken with U+FFFD in the gaps.
  package init(
    _ slice: JSONSlice, at pointer: String, known names: [String], mendsTexts: Bool = false, problems: inout Problems
  ) {
    self.pointer = pointer
    self.mendsTexts = mendsTexts
    var values: [String: JSONSlice] = [:]
    let most = max(Self.most.names, names.count)
    if let members = slice.members(atMost: most + 1) {
      for (name, value) in members.prefix(most) {
        let place = pointer + "/" + JSONPointer.escaped(name)
        if !names.contains(name) {
          let hint = problems.areFull ? "" : nearestName(to: name, among: names).map { "; did you mean \($0)?" } ?? ""
          problems.add(place, "is not a known field\(hint)")
        } else if values.updateValue(value, forKey: name) != nil {
          problems.add(place, "is given twice")
        }
      }
      if members.count > most { problems.add(pointer, "has more than \(most) fields") }
    } else {
      problems.add(pointer, "must be an object")
    }
    self.values = values
  }

  /// The value as it came, `null` included.
  package func raw(_ name: String) -> JSONSlice? {
    values[name]
  }

  package func has(_ name: String) -> Bool {
    value(name) != nil
  }

  package func string(_ name: String, _ problems: inout Problems) -> String? {
    guard let slice = value(name) else { return nil }
    return text(slice, at: place(name), &problems)
  }

  package func bool(_ name: String, _ problems: inout Problems) -> Bool? {
    read(name, "true or false", &problems) { $0.bool }
  }

  package func int(_ name: String, _ problems: inout Problems) -> Int? {
    read(name, "a whole number", &problems) { $0.int }
  }

  package func double(_ name: String, _ problems: inout Problems) -> Double? {
    read(name, "a number", &problems) { $0.double.flatMap { $0.isFinite ? $0 : nil } }
  }

  package func timestamp(_ name: String, _ problems: inout Problems) -> Timestamp? {
    read(name, "a time in RFC 3339, such as 2026-02-01T10:00:00.000Z", &problems) { $0.string.flatMap(Timestamp.init) }
  }

  /// - Parameter last: only so many at the end are wanted, however many there are; up to twice as many are given.
  package func strings(_ name: String, last: Int? = nil, _ problems: inout Problems) -> [String]? {
    guard let slice = value(name) else { return nil }
    guard slice.kind == .array else {
      problems.add(place(name), "must be an array of strings")
      return nil
    }
    var strings: [String] = []
    let most = last.map { 2 * $0 } ?? Self.most.entries
    slice.forEachElement { index, element in
      if strings.count == most {
        guard last != nil else {
          problems.add(place(name), "has more than \(most) entries")
          return false
        }
        strings.removeFirst(most / 2)
      }
      if let string = text(element, at: "\(place(name))/\(index)", &problems) { strings.append(string) }
      return last != nil || !problems.areFull
    }
    return strings
  }

  /// An object whose values are all strings.
  package func stringMap(_ name: String, _ problems: inout Problems) -> [String: String]? {
    guard let slice = value(name) else { return nil }
    guard let members = slice.members(atMost: Self.most.names + 1) else {
      problems.add(place(name), "must be an object of strings")
      return nil
    }
    var map: [String: String] = [:]
    for (key, value) in members.prefix(Self.most.names) {
      let place = place(name) + "/" + JSONPointer.escaped(key)
      guard let string = text(value, at: place, &problems) else { continue }
      if map.updateValue(string, forKey: key) != nil { problems.add(place, "is given twice") }
    }
    if members.count > Self.most.names { problems.add(place(name), "has more than \(Self.most.names) names") }
    if !mendsTexts, slice.hasLoneSurrogate, !members.contains(where: \.value.hasLoneSurrogate) {
      problems.add(place(name), "has a name with half of a surrogate pair, which is no character")
    }
    return map
  }

  /// One of the cases of a string enumeration.
  package func choice<Choice: RawRepresentable & CaseIterable>(
    _ name: String, _ problems: inout Problems
  ) -> Choice? where Choice.RawValue == String {
    let all = Choice.allCases.map(\.rawValue).joined(separator: ", ")
    return read(name, "one of \(all)", &problems) { $0.string.flatMap(Choice.init) }
  }

  package func place(_ name: String) -> String {
    pointer + "/" + JSONPointer.escaped(name)
  }

  private func text(_ slice: JSONSlice, at place: String, _ problems: inout Problems) -> String? {
    guard let string = slice.string else {
      problems.add(place, "must be a string")
      return nil
    }
    guard mendsTexts || !slice.hasLoneSurrogate else {
      problems.add(place, "has half of a surrogate pair, which is no character")
      return nil
    }
    return string
  }

  private func value(_ name: String) -> JSONSlice? {
    guard let value = values[name], !value.isNull else { return nil }
    return value
  }

  private func read<Value>(
    _ name: String, _ expected: String, _ problems: inout Problems, _ convert: (JSONSlice) -> Value?
  ) -> Value? {
    guard let slice = value(name) else { return nil }
    let converted = convert(slice)
    if converted == nil { problems.add(place(name), "must be \(expected)") }
    return converted
  }
}

/// The known name that a mistyped one most likely means: at most two edits, or a third of its length, away.
package func nearestName(to name: String, among names: some Sequence<String>) -> String? {
  guard name.utf8.count <= 64 else { return nil }
  let wanted = Array(name.lowercased())
  let close = names.map { (name: $0, distance: editDistance(wanted, Array($0.lowercased()))) }
    .min { $0.distance < $1.distance }
  guard let close, close.distance <= max(2, wanted.count / 3) else { return nil }
  return close.name
}

/// Levenshtein's distance.
private func editDistance(_ left: [Character], _ right: [Character]) -> Int {
  var row = Array(0...right.count)
  for (i, character) in left.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, other) in right.enumerated() {
      let above = row[j + 1]
      row[j + 1] = character == other ? diagonal : min(diagonal, above, row[j]) + 1
      diagonal = above
    }
  }
  return row[right.count]
}
