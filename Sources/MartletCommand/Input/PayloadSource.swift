// `--payload JSON | @FILE | -`: where the payload comes from, and the check that it is JSON before it is sent.

internal import Foundation
internal import MartletCore

enum PayloadSource: Equatable {
  case text(String)
  case file(String)
  case standardInput

  init(_ argument: String) {
    if argument == "-" {
      self = .standardInput
    } else if argument.hasPrefix("@") {
      self = .file(String(argument.dropFirst()))
    } else {
      self = .text(argument)
    }
  }

  /// The payload's bytes as they stand there, without white space around them.
  func read() throws(CommandFailure) -> [UInt8] {
    switch self {
    case .text(let text):
      return try Self.checked(Array(text.utf8), name: "--payload")
    case .file(let path):
      let file = open(path, O_RDONLY)
      guard file >= 0 else { throw Self.unreadable("'\(path)'") }
      defer { close(file) }
      return try Self.checked(try Self.contents(of: file, name: "'\(path)'"), name: "'\(path)'")
    case .standardInput:
      let name = "the standard input"
      return try Self.checked(try Self.contents(of: STDIN_FILENO, name: name), name: name)
    }
  }

  static func checked(_ bytes: [UInt8], name: String) throws(CommandFailure) -> [UInt8] {
    do throws(JSONError) {
      return try JSONScanner.scan(bytes).bytes
    } catch {
      switch error {
      case .malformed(let offset, let what):
        let place = place(of: offset, in: bytes)
        throw CommandFailure(.usage, "\(name) is not JSON: \(what), at byte \(offset) (\(place))")
      case .tooDeep(let limit):
        throw CommandFailure(.usage, "\(name) is nested deeper than \(limit) levels")
      }
    }
  }

  private static func place(of offset: Int, in bytes: [UInt8]) -> String {
    let before = bytes.prefix(offset)
    let line = before.count { $0 == UInt8(ascii: "\n") } + 1
    let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    return "line \(line), column \(String(decoding: before[start...], as: UTF8.self).count + 1)"
  }

  private static func contents(of descriptor: Int32, name: String) throws(CommandFailure) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = Foundation.read(descriptor, &chunk, chunk.count)
      if count == 0 { return bytes }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw unreadable(name) }
      bytes += chunk.prefix(count)
    }
  }

  /// Asks `errno`: call it at once.
  private static func unreadable(_ name: String) -> CommandFailure {
    CommandFailure(.usage, "cannot read the payload from \(name): \(String(cString: strerror(errno)).lowercased())")
  }
}
