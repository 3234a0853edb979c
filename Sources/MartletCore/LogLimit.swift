// What is kept of an attempt's log lines. All stores cut them by this rule, so that too long a report never makes a finish
// fail: a side effect that is done must not be done again for the sake of its logs.

/// The last of the lines: at most `Limits.logLines` of them and `Limits.logBytes` bytes of UTF-8, counting one more for the
/// end of each line. A line that would be too long on its own is cut between two Unicode scalars.
package func keptLogs(_ lines: [String]) -> [String] {
  var kept: [String] = []
  var bytesLeft = Limits.logBytes
  for line in lines.suffix(Limits.logLines).reversed() {
    let line = cut(line, toBytes: Limits.logBytes - 1)
    bytesLeft -= line.utf8.count + 1
    if bytesLeft < 0 { break }
    kept.append(line)
  }
  return kept.reversed()
}

private func cut(_ line: String, toBytes limit: Int) -> String {
  guard line.utf8.count > limit else { return line }
  var end = line.utf8.index(line.startIndex, offsetBy: limit)
  while end.samePosition(in: line.unicodeScalars) == nil { end = line.utf8.index(before: end) }
  return String(line[..<end])
}
