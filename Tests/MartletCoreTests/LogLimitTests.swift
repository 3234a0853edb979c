// What is kept of an attempt's log: the last lines, within a number of lines and of bytes, never half a character.

import MartletCore
import Testing

@Suite struct LogLimitTests {
  private func lines(_ count: Int, bytes: Int) -> [String] {
    (0..<count).map { index in
      let number = String(index)
      return number + String(repeating: "x", count: bytes - number.utf8.count)
    }
  }

  @Test func `a short log is kept as it is`() {
    #expect(keptLogs([]) == [])
    #expect(keptLogs(["", "a", "", "b", ""]) == ["", "a", "", "b", ""])
  }

  @Test func `the last thousand lines are kept`() {
    let all = lines(1001, bytes: 10)
    #expect(keptLogs(Array(all[1...])) == Array(all[1...]))
    #expect(keptLogs(all) == Array(all[1...]))
    #expect(keptLogs(lines(5000, bytes: 10)) == Array(lines(5000, bytes: 10)[4000...]))
  }

  @Test func `empty lines count as lines`() {
    #expect(keptLogs(Array(repeating: "", count: 1001)).count == 1000)
  }

  @Test func `64 KiB are kept, each line counting its end`() {
    let all = lines(65, bytes: 1023)
    #expect(keptLogs(Array(all[1...])) == Array(all[1...]))  // 64 lines of 1024 bytes: exactly the limit
    #expect(keptLogs(all) == Array(all[1...]))
    var over = Array(all[1...])
    over[0] += "x"
    #expect(keptLogs(over) == Array(all[2...]))
  }

  @Test func `nothing is kept from before a line that does not fit`() {
    let long = String(repeating: "x", count: 60_000)
    #expect(keptLogs(["a", long, String(repeating: "y", count: 10_000)]) == [String(repeating: "y", count: 10_000)])
  }

  @Test func `bytes count and not characters`() {
    let line = String(repeating: "é", count: 1000)  // 2001 bytes with its end
    #expect(keptLogs(Array(repeating: line, count: 40)).count == 32)
  }

  @Test func `a line that is too long on its own is cut`() {
    let limit = 64 * 1024 - 1
    let fits = String(repeating: "x", count: limit)
    #expect(keptLogs([fits]) == [fits])
    #expect(keptLogs([fits + "y"]) == [fits])
    #expect(keptLogs(["before", fits + "y"]) == [fits])
    #expect(keptLogs([fits + "y", "z"]) == ["z"])
  }

  @Test(arguments: ["é", "€", "😀"], 0..<4)
  func `a line is cut between two scalars`(scalar: String, shift: Int) {
    let limit = 64 * 1024 - 1
    let start = String(repeating: "x", count: limit - shift)
    let fitting = shift / scalar.utf8.count
    let expected = start + String(repeating: scalar, count: fitting)
    #expect(keptLogs([start + String(repeating: scalar, count: 5)]) == [expected])
  }

  @Test func `a line is cut within a character of many scalars`() throws {
    let line = "e" + String(repeating: "\u{301}", count: 40_000)
    let kept = try #require(keptLogs([line]).first)
    #expect(kept.utf8.count == 65_535)
    #expect(line.utf8.starts(with: kept.utf8))
  }
}
