// What a handler says while it runs is bounded while it runs.

import Logging
import MartletCore
import MartletTestKit
import Testing

@testable import MartletEngine

@Suite struct LogKeepingTests {
  @Test func `the last lines stay, by number and by bytes, and memory stays small`() {
    let context = AttemptContext(task: .stub(), logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    for number in 0..<10_000 { context.log("line \(number)") }
    #expect(context.logLines.count <= 2 * Limits.logLines)
    #expect(context.logLines.last == "line 9999")
    #expect(keptLogs(context.logLines).count == 1000)
    let long = String(repeating: "x", count: 10_000)
    for _ in 0..<1000 {
      context.log(long)
      #expect(context.logLines.reduce(0) { $0 + $1.utf8.count } <= 2 * Limits.logBytes + long.utf8.count)
    }
    #expect(keptLogs(context.logLines) == Array(repeating: long, count: 6))
  }
}

extension ClaimedTask {
  static func stub() -> ClaimedTask {
    ClaimedTask(
      lease: LeaseID(task: .stub(1), attempt: 1, token: 1), expiresAt: .earliest, expiresIn: .seconds(30), type: "test",
      queue: "default", payload: [], priority: 5, maxAttempts: 4, timeout: .seconds(300), leaseDuration: .seconds(30),
      createdAt: .earliest, runAt: nil, availableAt: .earliest, startedAt: .earliest, readyAt: .earliest, tags: [],
      metadata: [:], traceparent: nil)
  }
}
