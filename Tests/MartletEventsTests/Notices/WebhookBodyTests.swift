// The body of a webhook against the API's page.

import Foundation
import MartletCore
import Testing

@testable import MartletEvents

@Suite struct WebhookBodyTests {
  private func body(_ notice: Notice) -> String { String(decoding: notice.webhookBody, as: UTF8.self) }

  @Test func `a dead task's notice says that it failed, and everything else of the API`() throws {
    #expect(
      body(try aNotice()) == """
        {"type":"task.failed","timestamp":"2026-02-01T10:01:01.000Z","data":{\
        "taskId":"01900000-0000-7000-8000-000000000001","taskType":"resize-image","status":"FAILED","taskStatus":"DEAD",\
        "reason":"RETRIES_EXHAUSTED","attempt":3,"result":null,\
        "error":{"type":"HTTP_503","message":"the image server is away","stack":null},"logs":["fetching","gave up"],\
        "createdAt":"2026-02-01T10:00:00.000Z","startedAt":"2026-02-01T10:01:00.000Z",\
        "finishedAt":"2026-02-01T10:01:01.000Z","metadata":{"a":"b","orderId":"42"}}}
        """)
  }

  @Test func `a success has its result as it was reported, and no error`() throws {
    let text = body(try aNotice(.success, logs: []) { $0.result = Array(#"{"n": 1.50, "s":"é"}"#.utf8) })
    #expect(text.hasPrefix(#"{"type":"task.succeeded","#))
    #expect(text.contains(#""status":"SUCCESS","taskStatus":"SUCCESS","reason":null,"#))
    #expect(text.contains(#""result":{"n": 1.50, "s":"é"},"error":null,"logs":[],"#))
  }

  @Test func `a cancelled task that never started has no start`() throws {
    let notice = try aNotice(.cancelled) {
      $0.reason = .expired
      $0.startedAt = nil
    }
    let text = body(notice)
    #expect(text.hasPrefix(#"{"type":"task.cancelled","#))
    #expect(text.contains(#""status":"CANCELLED","taskStatus":"CANCELLED","reason":"EXPIRED","#))
    #expect(text.contains(#""startedAt":null"#))
  }

  @Test(arguments: [TaskStatus.pending, .ready, .running, .retry])
  func `there is no notice of a task that is not final`(_ status: TaskStatus) throws {
    #expect(Notice(try aTask(status), logs: []) == nil)
  }

  @Test func `hostile texts stay texts`() throws {
    let hostile = "\"},\"status\":\"SUCCESS\",\u{0}\u{1B}[31m\u{2028}</script>\r\n\\"
    let notice = try aNotice(logs: [hostile]) {
      $0.lastError = TaskError(type: hostile, message: hostile, stack: hostile)
      $0.metadata = [hostile: hostile]
    }
    let root = try #require(try JSONSerialization.jsonObject(with: Data(notice.webhookBody)) as? [String: Any])
    let data = try #require(root["data"] as? [String: Any])
    #expect(data.count == 13)
    #expect(data["status"] as? String == "FAILED")
    #expect(data["logs"] as? [String] == [hostile])
    #expect(data["error"] as? [String: String] == ["type": hostile, "message": hostile, "stack": hostile])
    #expect(data["metadata"] as? [String: String] == [hostile: hostile])
  }

  @Test func `errors and logs of any size make a body of a bounded one`() throws {
    let long = String(repeating: "😀", count: 1_000_000)
    let notice = try aNotice(logs: Array(repeating: String(repeating: "x", count: 1000), count: 5000) + ["last"]) {
      $0.lastError = TaskError(type: long, message: long, stack: long)
    }
    #expect(notice.webhookBody.count < 300_000)
    #expect(notice.logs.last == "last")
  }
}
