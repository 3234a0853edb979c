// Writes to the program's two outputs, unbuffered, so that whoever follows a task sees each line when it comes.

internal import Foundation

enum Console {
  /// A text and a line end; nothing for an empty text.
  static func out(_ text: String) {
    write(text, to: STDOUT_FILENO)
  }

  static func error(_ text: String) {
    write(text, to: STDERR_FILENO)
  }

  /// One JSON document as the server sent it. On a terminal, characters that could drive it are written as JSON
  /// escapes, which mean the same.
  static func json(_ bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    out(Terminal.output.isTerminal ? Plain.json(text) : text)
  }

  private static func write(_ text: String, to descriptor: Int32) {
    guard !text.isEmpty else { return }
    var rest = Array((text.hasSuffix("\n") ? text : text + "\n").utf8)[...]
    while !rest.isEmpty {
      let written = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if written > 0 {
        rest = rest.dropFirst(written)
      } else if errno == EPIPE {
        exit(ExitStatus.done.rawValue)  // `martlet … | head`: the reader has what it wanted
      } else if errno != EINTR, errno != EAGAIN {
        return
      }
    }
  }
}
