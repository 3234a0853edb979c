// Query parameters read by name with every problem collected: unknown names (with the nearest known one), repeated
// names, bad values. The counterpart of `JSONFields`. Filled by `Responder` by the route's table entry, read by the
// routes.

internal import MartletCore

struct Parameters: Sendable {
  /// What a route takes.
  struct Known: Sendable {
    var names: [String] = []
    /// Names that begin so, with anything after it.
    var prefix: String?

    static let none = Known()
  }

  private var values: [String: String] = [:]
  private let prefix: String?

  init(_ given: [(name: String, value: String)], known: Known) throws(Problem) {
    prefix = known.prefix
    guard !given.isEmpty else { return }
    var problems = Problems()
    for (name, value) in given {
      let hasPrefix = known.prefix.map { name.hasPrefix($0) && name.utf8.count > $0.utf8.count } ?? false
      if !hasPrefix, !known.names.contains(name) {
        problems.add(Self.pointer(name), "the query parameter '\(name)' is not known\(Self.hint(name, known))")
      } else if values.updateValue(value, forKey: name) != nil {
        problems.add(Self.pointer(name), "the query parameter '\(name)' is given twice")
      }
    }
    guard problems.all.isEmpty else { throw Self.problem(problems.all) }
  }

  var isEmpty: Bool { values.isEmpty }

  func text(_ name: String) -> String? {
    values[name]
  }

  /// What stands behind the prefix, with its values.
  var prefixed: [String: String] {
    guard let prefix else { return [:] }
    var found: [String: String] = [:]
    for (name, value) in values where name.hasPrefix(prefix) { found[String(name.dropFirst(prefix.count))] = value }
    return found
  }

  func int(_ name: String, in range: ClosedRange<Int>, _ problems: inout Problems) -> Int? {
    read(name, "must be a whole number from \(range.lowerBound) to \(range.upperBound)", &problems) { text in
      Int(text).flatMap { range.contains($0) ? $0 : nil }
    }
  }

  func seconds(_ name: String, upTo limit: Int, _ problems: inout Problems) -> Duration? {
    read(name, "must be a number of seconds from 0 to \(limit)", &problems) { text in
      // As JSON writes numbers: Swift takes more for one, such as `nan` and `0x1p3`.
      guard let number = try? JSONScanner.scan(Array(text.utf8)), number.bytes.count == text.utf8.count,
        let seconds = number.double, (0...Double(limit)).contains(seconds)
      else { return nil }
      return .milliseconds(Int64((seconds * 1000).rounded(.up)))
    }
  }

  func timestamp(_ name: String, _ problems: inout Problems) -> Timestamp? {
    // The '+' of an offset that nobody encoded has come out as a space.
    read(name, "must be a time in RFC 3339, such as 2026-02-01T10:00:00.000Z", &problems) { text in
      Timestamp(text) ?? Timestamp(text.replacing(" ", with: "+"))
    }
  }

  /// A comma list, each element read by `convert`.
  func list<Value>(
    _ name: String, _ expected: String, _ problems: inout Problems, _ convert: (Substring) -> Value?
  ) -> [Value]? {
    read(name, "must be \(expected)", &problems) { text in
      let values = text.split(separator: ",", omittingEmptySubsequences: false).map(convert)
      return values.contains { $0 == nil } ? nil : values.compactMap(\.self)
    }
  }

  func read<Value>(
    _ name: String, _ expected: String, _ problems: inout Problems, _ convert: (String) -> Value?
  ) -> Value? {
    guard let text = values[name] else { return nil }
    let value = convert(text)
    if value == nil { problems.add(Self.pointer(name), "the query parameter '\(name)' \(expected)") }
    return value
  }

  /// Problems of a query, which has no place in a body: the details name the parameters.
  static func problem(_ problems: [ValidationProblem], code: Problem.Code = .invalid) -> Problem {
    Problem(code, problems.prefix(3).map(\.detail).joined(separator: "; "), errors: problems)
  }

  static func pointer(_ name: String) -> String {
    "/query/" + JSONPointer.escaped(name)
  }

  private static func hint(_ name: String, _ known: Known) -> String {
    let all = known.names + (known.prefix.map { [$0 + "NAME"] } ?? [])
    guard !all.isEmpty else { return "; there are none here" }
    return nearestName(to: name, among: all).map { "; did you mean '\($0)'?" } ?? ""
  }
}
