// What is kept of a program's outputs while it runs, however much it says. Pure; `ProgramHandler` feeds it.

internal import MartletCore

/// The beginning of the standard output: the task's result.
struct BoundedBytes: Sendable {
  private let limit: Int
  private var bytes: [UInt8] = []
  private var isCut = false

  init(limit: Int) {
    self.limit = limit
  }

  mutating func append(_ more: some Collection<UInt8>) {
    let room = limit - bytes.count
    isCut = isCut || more.count > room
    bytes += more.prefix(room)
  }

  /// One JSON value: as it stands there, or as a text; nil where there is nothing. Cut output makes a value over the limit, so
  /// that the server knows of it and says `resultTruncated`.
  var json: [UInt8]? {
    if !isCut, let value = try? JSONScanner.scan(bytes) { return value.bytes }
    var text = Substring(String(decoding: bytes, as: UTF8.self))
    while let last = text.last, last.isNewline { text.removeLast() }
    guard !text.allSatisfy(\.isWhitespace) else { return nil }
    var writer = JSONWriter(capacity: bytes.count + 2)
    writer.string(String(text))
    return writer.bytes
  }
}

/// Lines of the standard error. A line that is longer than all that is kept of a log is cut while it comes.
struct LineSplitter: Sendable {
  private var line: [UInt8] = []
  /// The last line that was not empty.
  private(set) var last: String?

  mutating func lines(in bytes: some Collection<UInt8>) -> [String] {
    var lines: [String] = []
    var rest = bytes[...]
    while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
      add(rest[..<end])
      lines.append(take())
      rest = rest[rest.index(after: end)...]
    }
    add(rest)
    return lines
  }

  /// What came after the last line's end.
  mutating func rest() -> String? {
    line.isEmpty ? nil : take()
  }

  private mutating func add(_ bytes: some Collection<UInt8>) {
    line += bytes.prefix(max(0, Limits.logBytes - line.count))
  }

  private mutating func take() -> String {
    if line.last == UInt8(ascii: "\r") { line.removeLast() }
    let text = String(decoding: line, as: UTF8.self)
    line.removeAll(keepingCapacity: true)
    if !text.allSatisfy(\.isWhitespace) { last = text }
    return text
  }
}
