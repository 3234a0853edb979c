// Where and why Foundation's decoder gave up on a payload that is JSON, in our own words: it says of one number that an integer
// cannot hold that all of the text is no JSON. Called by `HandlerRegistry`.

internal import MartletCore

struct UndecodablePayload {
  /// What the decoder says of the whole text.
  private static let general = "The given data was not valid JSON."
  private static let outOfRange = "is a number out of range"

  /// - Parameter decodes: whether the decoder goes beyond this complaint with another payload.
  static func problem(
    _ context: DecodingError.Context, _ pointer: String, in bytes: [UInt8], decodes: ([UInt8]) -> Bool
  ) -> ValidationProblem {
    guard context.debugDescription == general, let root = try? JSONScanner.scan(bytes) else {
      return ValidationProblem(pointer: pointer, detail: words(for: context.debugDescription))
    }
    let suspects = Suspects(root)
    if let text = suspects.torn {
      return ValidationProblem(pointer: text, detail: "has half of a surrogate pair, which is no character")
    }
    // Numbers are made harmless from the first on; the one that makes the difference is the last at fault.
    var (harmless, enough) = (0, suspects.numbers.count)
    guard enough > 0, decodes(suspects.bytes(of: root, without: enough)) else {
      return ValidationProblem(pointer: pointer, detail: "cannot be read as what is asked for")
    }
    while enough - harmless > 1 {
      let middle = (harmless + enough) / 2
      if decodes(suspects.bytes(of: root, without: middle)) { enough = middle } else { harmless = middle }
    }
    let (place, number) = suspects.numbers[enough - 1]
    let isFraction = number.double.map { $0.isFinite && $0 != $0.rounded() } ?? false
    return ValidationProblem(
      pointer: place, detail: isFraction ? "must be a whole number" : outOfRange)
  }

  /// What authors of handlers say stays as it is.
  private static func words(for description: String) -> String {
    if description.hasPrefix("Parsed JSON number") || description.hasPrefix("Number ") { return outOfRange }
    if description.hasPrefix("Cannot initialize ") { return "is not one of the values that are taken" }
    for kind in ["UUID", "URL", "Base64", "date"] where description.contains(kind) {
      return "cannot be read as a \(kind)"
    }
    return description
  }
}

/// Values that JSON can write and Swift's types may not hold, in the order in which they stand.
private struct Suspects {
  var numbers: [(pointer: String, value: JSONSlice)] = []
  var torn: String?

  init(_ root: JSONSlice) {
    visit(root, at: "")
  }

  private mutating func visit(_ value: JSONSlice, at pointer: String) {
    switch value.kind {
    case .object:
      for (name, member) in value.members ?? [] { visit(member, at: pointer + "/" + JSONPointer.escaped(name)) }
    case .array:
      for (index, element) in (value.elements ?? []).enumerated() { visit(element, at: "\(pointer)/\(index)") }
    case .number: numbers.append((pointer, value))
    case .string where torn == nil && value.hasLoneSurrogate: torn = pointer
    default: break
    }
  }

  /// With 0 for the first of the numbers.
  func bytes(of root: JSONSlice, without count: Int) -> [UInt8] {
    var json = JSONWriter(capacity: root.bytes.count)
    var left = count
    write(root, &left, to: &json)
    return json.bytes
  }

  private func write(_ value: JSONSlice, _ left: inout Int, to json: inout JSONWriter) {
    switch value.kind {
    case .object:
      json.object { json in
        for (name, member) in value.writtenMembers ?? [] {
          json.name(raw: name.bytes)
          write(member, &left, to: &json)
        }
      }
    case .array:
      json.array { json in
        for element in value.elements ?? [] { write(element, &left, to: &json) }
      }
    case .number where left > 0:
      left -= 1
      json.int(0)
    default: json.raw(value.bytes)
    }
  }
}
