// The processes that tests stand on.

import ChildProcess
import Foundation
import Testing

@Suite struct ChildTests {
  @Test func `a child inherits no files of the test program`() async throws {
    let open = Foundation.open("/dev/null", O_RDONLY)  // without O_CLOEXEC
    try #require(open > 3)
    defer { close(open) }
    let output = URL(fileURLWithPath: NSTemporaryDirectory()).appendingPathComponent("martlet-child-\(UUID())")
    defer { try? FileManager.default.removeItem(at: output) }
    let child = try Child(["/bin/sh", "-c", "echo /proc/$$/fd/*"], output: output)
    #expect(await child.ended() == 0)
    let files = String(decoding: FileManager.default.contents(atPath: output.path) ?? Data(), as: UTF8.self)
    let numbers = files.split(whereSeparator: \.isWhitespace).compactMap { $0.split(separator: "/").last }
    // The shell itself has opened the folder as 3.
    #expect(Set(numbers).isSubset(of: ["0", "1", "2", "3"]), "\(files)")
  }
}
