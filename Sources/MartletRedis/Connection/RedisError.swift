// What can go wrong with Redis, in one line for the person on call. Never a password.

package enum RedisError: Error, Sendable, Hashable, CustomStringConvertible {
  /// It cannot be reached, does not answer in time, or is busy with its start. What was sent may have been done.
  case unavailable(String)
  /// It has answered, and will not: a wrong password, a missing right, full memory.
  case refused(String)
  /// The settings are wrong: nothing can come of it before somebody mends them.
  case unusable(String)

  package var message: String {
    switch self {
    case .unavailable(let message), .refused(let message), .unusable(let message): message
    }
  }

  package var description: String { message }
}

extension RedisError {
  /// For an error reply. Those that pass by themselves count as absence.
  init(reply: String) {
    let line = Self.line(reply)
    let passes = ["LOADING", "MASTERDOWN", "BUSY ", "ERR max number of clients"].contains(where: line.hasPrefix)
    self = passes ? .unavailable(line) : .refused(line)
  }

  /// Behind an error within a script Redis names the script and its line, which tells nobody anything.
  private static func line(_ reply: String) -> String {
    let words = reply.firstRange(of: " script: ").map { reply[..<$0.lowerBound] } ?? reply[...]
    return String(words.prefix(300).drop(while: \.isWhitespace))
  }
}
