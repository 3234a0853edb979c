// Memory that was freed in pieces goes back to the system.

import Foundation
import Testing

@testable import Martlet

@Suite struct FreedMemoryTests {
  @Test func `what lies free between pieces in use is given back`() throws {
    guard ProcessUsage.now != nil else { return }  // not on Linux
    // A quarter of a gigabyte, of which one piece in 64 stays in use.
    var pieces = (0..<262_144).map { _ in malloc(1000) }
    for case let piece? in pieces { memset(piece, 1, 1000) }
    let before = try #require(ProcessUsage.now).residentBytes
    for index in pieces.indices where !index.isMultiple(of: 64) {
      free(pieces[index])
      pieces[index] = nil
    }
    FreedMemory.giveBack()
    let after = try #require(ProcessUsage.now).residentBytes
    #expect(before - after > 100 << 20, "\(before) → \(after)")
    for piece in pieces { free(piece) }
  }
}
