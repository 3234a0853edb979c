// A task that has ended, for tests of notices.

import MartletCore

@testable import MartletEvents

func aTask(_ status: TaskStatus = .dead, _ change: (inout TaskRecord) -> Void = { _ in }) throws -> TaskRecord {
  let start = Timestamp(milliseconds: 1_769_940_000_000)  // 2026-02-01T10:00:00.000Z
  var task = TaskRecord(
    AcceptedTask(
      id: TaskID(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0001), type: "resize-image", queue: "images",
      payload: Array("{}".utf8), priority: 5, eligible: .now, runAt: nil, retries: 2, backoff: RetryPolicy(),
      timeout: .seconds(300), lease: .seconds(30), expiresAt: nil, tags: [], metadata: ["orderId": "42", "a": "b"],
      traceparent: nil, replayOf: nil),
    acceptedAt: start)
  task.status = status
  task.attempt = 3
  task.startedAt = start + .seconds(60)
  task.finishedAt = start + .seconds(61)
  if status == .dead {
    task.reason = .retriesExhausted
    task.lastError = TaskError(type: "HTTP_503", message: "the image server is away")
  }
  change(&task)
  return task
}

func aNotice(
  _ status: TaskStatus = .dead, logs: [String] = ["fetching", "gave up"],
  _ change: (inout TaskRecord) -> Void = { _ in }
) throws -> Notice {
  guard let notice = Notice(try aTask(status, change), logs: logs) else { throw NoNotice() }
  return notice
}

struct NoNotice: Error {}
