// What opening a file does to one who has it open.

import Foundation
import MartletCore
import MartletSQLite
import MartletTestKit
import Testing

@Suite struct OpeningTests {
  @Test func `a second server in the same process is refused, and the first keeps its locks on the file`() async throws
  {
    try await onFile { bench, _ in
      let path = bench.directory + "/test.db"
      try await bench.submit(.stub(1))
      #if os(Linux)
        let before = try locks(on: path)
        #expect(!before.isEmpty)
      #endif
      let error = await #expect(throws: StoreError.self) {
        _ = try await SQLiteStore.open(path: path, clock: bench.time.clock)
      }
      #expect(error?.message.contains("already served") == true)
      #if os(Linux)
        #expect(try locks(on: path) == before)
      #endif
      try await bench.submit(.stub(2))
    }
  }

  @Test func `in a folder that is not there nothing is looked for`() async throws {
    try await onFile { bench, _ in
      let error = await #expect(throws: StoreError.self) {
        _ = try await SQLiteStore.open(path: bench.directory + "/none/test.db", clock: bench.time.clock)
      }
      #expect(error?.message.contains("there is no folder") == true)
    }
  }

  /// As the kernel lists them: of which kind, whose, from where to where.
  private func locks(on path: String) throws -> [String] {
    var file = stat()
    let isThere = stat(path, &file) == 0
    try #require(isThere)
    let all = try String(contentsOfFile: "/proc/locks", encoding: .utf8)
    return all.split(separator: "\n").filter { $0.contains("POSIX") && $0.contains(":\(file.st_ino) ") }
      .map { $0.split(separator: " ").dropFirst().joined(separator: " ") }.sorted()
  }
}
