// Pages of what is read as a whole, since there is little of it: queues, types, workers, API keys. `limit` and `cursor` are as in
// every list.

internal import MartletCore

extension Parameters.Known {
  static let page = Parameters.Known(names: ["limit", "cursor"])
}

struct NamePage: Sendable {
  private let limit: Int
  private let after: String?

  /// - Throws: parameters that are wrong (422).
  init(_ query: Parameters) throws(Problem) {
    var problems = Problems()
    limit = query.int("limit", in: 1...1000, &problems) ?? 50
    after = query.read("cursor", "is not one that this server gave", &problems) { PlaceCursor($0)?.after }
    guard problems.all.isEmpty else { throw Parameters.problem(problems.all) }
  }

  /// In order of the keys, byte by byte, which tell all elements apart.
  func answer<Element>(
    _ all: [Element], by key: (Element) -> String, _ write: (inout JSONWriter, Element) -> Void
  ) -> Answer {
    let keyed = all.map { (key: key($0), element: $0) }
      .filter { entry in after.map { $0.utf8.lexicographicallyPrecedes(entry.key.utf8) } ?? true }
      .sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    let page = keyed.prefix(limit)
    let next = keyed.count > limit ? page.last.map { PlaceCursor(after: $0.key).text } : nil
    return .list(page.map(\.element), next: next, write)
  }
}

/// The opaque cursor of such a list: a version and the key of the last element, in hexadecimal digits. Names of workers may be any
/// text.
private struct PlaceCursor {
  let after: String

  private static let version = "p"
  /// A worker's name of 256 characters, of four bytes each.
  private static let longest = 1 + 2 * 4 * 256

  init(after: String) {
    self.after = after
  }

  /// Nil for everything that `text` did not make.
  init?(_ text: String) {
    guard text.hasPrefix(Self.version), text.utf8.count <= Self.longest else { return nil }
    let digits = text.dropFirst().utf8.map { hexValue($0) }
    guard digits.count % 2 == 0, digits.allSatisfy({ $0 != nil }) else { return nil }
    let bytes = stride(from: 0, to: digits.count, by: 2).map { (digits[$0] ?? 0) << 4 | (digits[$0 + 1] ?? 0) }
    guard let after = String(validating: bytes, as: UTF8.self) else { return nil }
    self.after = after
    guard self.text == text else { return nil }
  }

  var text: String {
    var text = Array(Self.version.utf8)
    for byte in after.utf8 { text += [TaskID.hexDigit(byte >> 4), TaskID.hexDigit(byte & 15)] }
    return String(decoding: text, as: UTF8.self)
  }
}
