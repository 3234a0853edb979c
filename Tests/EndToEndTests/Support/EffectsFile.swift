// What handlers of the test server have done: a line for each attempt, with the task and the attempt's number.

internal import Foundation

struct EffectsFile: Sendable {
  let url: URL

  var lines: [Substring] {
    String(decoding: FileManager.default.contents(atPath: url.path) ?? Data(), as: UTF8.self).split(separator: "\n")
  }

  /// In the order in which they were begun.
  var all: [Checker.Effect] {
    lines.map { line in
      let words = line.split(separator: " ")
      return Checker.Effect(task: String(words[0]), attempt: Int(words.last ?? "") ?? -1)
    }
  }
}
