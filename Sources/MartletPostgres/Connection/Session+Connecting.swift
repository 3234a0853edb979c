// Why a connection could not be made, in one line and with its consequence.

internal import CPostgres
internal import MartletCore

extension Session {
  func connectFailure() -> StoreError {
    let (sqlState, message) = readVerbose(String(cString: PQerrorMessage(handle)))
    switch sqlState?.prefix(2) {
    case "28", "3D", "42":  // no such role or password, database, right
      return .unusable(message)
    case .some:  // starting up, shutting down, too many connections: it says so itself
      return .unavailable(message)
    case nil:
      let mustBeMended = Self.lasting.contains(where: message.contains) && !message.contains("Temporary failure")
      return mustBeMended ? .unusable(message) : .unavailable(message)
    }
  }

  /// What libpq says of failures that will be the same the next time.
  private static let lasting = [
    "could not translate host name", "certificate", "does not support SSL", "SSL error", "no password supplied",
    "authentication method", "private key", "invalid ", "service file", "definition of service",
  ]
}

/// Takes the SQLSTATE out of a message of libpq's verbose form, `FATAL:  28P01: words`, and the line that names a place in the
/// server's source.
private func readVerbose(_ message: String) -> (sqlState: String?, message: String) {
  let lines = message.split(whereSeparator: \.isNewline)
    .filter { !$0.hasPrefix("LOCATION: ") && !$0.hasPrefix("\t") }
  var sqlState: String?
  let cleaned = lines.map { line -> String in
    guard let mark = line.firstRange(of: ":  "), case let rest = line[mark.upperBound...],
      rest.count > 7, case let code = rest.prefix(5),
      code.allSatisfy({ $0.isASCII && ($0.isNumber || $0.isUppercase) }),
      rest.dropFirst(5).hasPrefix(": ")
    else { return String(line) }
    sqlState = sqlState ?? String(code)
    return line[..<mark.lowerBound] + ": " + rest.dropFirst(7)
  }
  return (sqlState, oneLine(cleaned.joined(separator: "\n")))
}
