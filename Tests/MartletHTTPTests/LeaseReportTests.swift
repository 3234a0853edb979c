// The lease protocol over HTTP: keeping leases and reporting what came of them.

internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Testing

@Suite(.serialized) struct LeaseReportTests {
  private static let unheardOf = "01890000-0000-7000-8000-000000000000.1.0000000000000001"

  // MARK: Renewals

  @Test func `a renewal prolongs the lease, never past the timeout, and its progress is stored`() async throws {
    try await HTTPHarness.run { harness in
      let (id, lease) = try await harness.leased(#"{"type":"resize","leaseSeconds":30,"timeoutSeconds":50}"#)
      harness.time.advance(by: .seconds(10))
      let progress = #""progress":{"percent":12.5,"message":"half of a quarter"}"#
      let first = try await harness.renew(#"{"leaseId":"\#(lease)",\#(progress)}"#)
      #expect(first["state"] as? String == "RENEWED")
      #expect(first["leaseId"] as? String == lease)
      #expect(first["expiresInSeconds"] as? Double == 30)
      #expect(first["expiresAt"] as? String == (ManualTime.start + .seconds(40)).description)
      #expect(first["detail"] == nil)
      #expect(
        try await harness.get("/tasks/\(id)").raw("progress") == #"{"percent":12.5,"message":"half of a quarter"}"#)
      harness.time.advance(by: .seconds(25))
      #expect(try await harness.renew(#"{"leaseId":"\#(lease)"}"#)["expiresInSeconds"] as? Double == 15)
      #expect(try await harness.get("/tasks/\(id)").raw("progress").contains("12.5"), "it stays")
    }
  }

  @Test func `a renewal tells that the task's cancellation was asked for`() async throws {
    try await HTTPHarness.run { harness in
      let (id, lease) = try await harness.leased()
      _ = try await harness.act("/tasks/\(id)/cancel")
      let answer = try await harness.renew(#"{"leaseId":"\#(lease)"}"#)
      #expect(answer["state"] as? String == "CANCEL_REQUESTED")
      #expect(answer["expiresInSeconds"] as? Double == 30, "it is renewed too")
    }
  }

  @Test(arguments: [
    #"{"leaseId":"\#(unheardOf)"}"#, #"{"leaseId":"nonsense"}"#, #"{"leaseId":""}"#, #"{"leaseId":7}"#, "{}", "1",
    "null",
    "[]", #"{"leaseId":null}"#,
  ])
  func `what names no lease that stands is LOST, and the others are renewed`(entry: String) async throws {
    try await HTTPHarness.run { harness in
      let (_, lease) = try await harness.leased()
      let reply = try await harness.post("/leases/renew", #"{"leases":[\#(entry),{"leaseId":"\#(lease)"}]}"#)
      #expect(reply.status == 200, "\(reply.text)")
      #expect(try reply.data.map { $0["state"] as? String } == ["LOST", "RENEWED"])
      #expect(try reply.data.first?["expiresAt"] is NSNull)
    }
  }

  @Test(arguments: [
    (#""progress":{"percent":101}"#, "/progress/percent must be from 0 to 100"),
    (#""progress":{}"#, "/progress/percent is required"), (#""progress":7"#, "/progress must be an object"),
    (#""logs":"x""#, "/logs must be an array of strings"), (#""progres":{}"#, "/progres is not a known field"),
  ])
  func `a mistake in a renewal is told, and costs no lease`(field: String, detail: String) async throws {
    try await HTTPHarness.run { harness in
      let (_, lease) = try await harness.leased()
      let answer = try await harness.renew(#"{"leaseId":"\#(lease)",\#(field)}"#)
      #expect(answer["state"] as? String == "RENEWED")
      #expect((answer["detail"] as? String)?.hasPrefix(detail) == true, "\(answer)")
    }
  }

  // MARK: Reports

  @Test(arguments: [
    (#""outcome":"SUCCESS""#, "SUCCESS", "null"), (#""outcome":"SUCCESS","result":{"a":[1]}"#, "SUCCESS", "null"),
    (#""outcome":"FAILED""#, "RETRY", "null"), (#""outcome":"FAILED","retryable":false"#, "DEAD", #""NON_RETRYABLE""#),
    (#""outcome":"FAILED","retryable":false,"error":{"type":"BAD_PAYLOAD"}"#, "DEAD", #""BAD_PAYLOAD""#),
    (#""outcome":"FAILED","retryable":true,"delaySeconds":0"#, "RETRY", "null"),
    (#""outcome":"SNOOZED","delaySeconds":60"#, "PENDING", "null"), (#""outcome":"RELEASED""#, "READY", "null"),
    (#""outcome":"CANCELLED""#, "CANCELLED", #""REQUESTED""#), (#""outcome":"TIMED_OUT""#, "RETRY", "null"),
    (#""outcome":"SUCCESS","result":null,"error":null,"delaySeconds":null,"logs":null"#, "SUCCESS", "null"),
  ])
  func `a report is applied, and again when it is repeated`(report: String, status: String, reason: String) async throws
  {
    try await HTTPHarness.run { harness in
      let (id, lease) = try await harness.leased()
      for _ in 1...2 {
        let answer = try await harness.finish(#"{"leaseId":"\#(lease)",\#(report)}"#)
        #expect(answer["state"] as? String == "APPLIED", "\(answer)")
        #expect(answer["leaseId"] as? String == lease)
        #expect((answer["task"] as? [String: Any])?["id"] as? String == id)
        #expect((answer["task"] as? [String: Any])?["status"] as? String == status)
      }
      let task = try await harness.get("/tasks/\(id)")
      #expect(try task.string("status") == status)
      #expect(try task.raw("reason") == reason)
      #expect(try task.int("attempt") == 1)
    }
  }

  @Test(arguments: [
    (#""outcome":"SUCCESS","result":1,"error":{},"retryable":false,"delaySeconds":1"#, "SUCCESS"),
    (#""outcome":"SUCCESS","error":"x","retryable":"no","delaySeconds":-1"#, "SUCCESS"),
    (#""outcome":"FAILED","retryable":false,"delaySeconds":1"#, "DEAD"),
    (#""outcome":"FAILED","retryable":false,"delaySeconds":"soon""#, "DEAD"),
    (#""outcome":"SNOOZED","delaySeconds":60,"error":{"kind":"x"},"retryable":false"#, "PENDING"),
    (#""outcome":"RELEASED","error":{},"delaySeconds":1,"retryable":true"#, "READY"),
    (#""outcome":"CANCELLED","error":{"message":"stopped"},"retryable":0"#, "CANCELLED"),
    (#""outcome":"TIMED_OUT","error":{},"retryable":false,"delaySeconds":1e300"#, "RETRY"),
  ])
  func `a field that means nothing with the outcome costs no report`(report: String, status: String) async throws {
    try await HTTPHarness.run { harness in
      let (id, lease) = try await harness.leased()
      let answer = try await harness.finish(#"{"leaseId":"\#(lease)",\#(report)}"#)
      #expect(answer["state"] as? String == "APPLIED", "\(answer)")
      let task = try await harness.get("/tasks/\(id)")
      #expect(try task.string("status") == status)
      if status == "SUCCESS" { #expect(try task.isNull("lastError")) }
    }
  }

  @Test func `a result and an error are kept as they came`() async throws {
    try await HTTPHarness.run { harness in
      let (id, lease) = try await harness.leased()
      _ = try await harness.finish(#"{"leaseId":"\#(lease)","outcome":"SUCCESS","result":{"n": 1.50,"x":[]}}"#)
      #expect(try await harness.get("/tasks/\(id)").raw("result") == #"{"n": 1.50,"x":[]}"#)
      let (other, second) = try await harness.leased()
      let error = #"{"type":"HTTP_503","message":"no room","stack":"a\nb"}"#
      _ = try await harness.finish(
        #"{"leaseId":"\#(second)","outcome":"FAILED","error":\#(error),"delaySeconds":17,"logs":["one","two"]}"#)
      let task = try await harness.get("/tasks/\(other)")
      #expect(try task.raw("lastError") == error)
      #expect(try task.string("availableAt") == (ManualTime.start + .seconds(17)).description)
      let attempt = try #require(try await harness.get("/tasks/\(other)/attempts").data.first)
      #expect(attempt["outcome"] as? String == "FAILED")
      #expect(attempt["logs"] as? [String] == ["one", "two"])
    }
  }

  @Test(arguments: [
    (#""outcome":"LOST""#, "/outcome must be one of"), ("", "/outcome is required"), (#""outcome":1"#, "/outcome"),
    (#""outcome":"SNOOZED""#, "/delaySeconds is required"),
    (#""outcome":"SNOOZED","delaySeconds":-1"#, "/delaySeconds"),
    (#""outcome":"FAILED","delaySeconds":1e300"#, "/delaySeconds"),
    (#""outcome":"SNOOZED","delaySeconds":"60""#, "/delaySeconds must be a number"),
    (#""outcome":"SNOOZED","delaySeconds":null"#, "/delaySeconds is required"),
    (#""outcome":"FAILED","retryable":"no""#, "/retryable must be true or false"),
    (#""outcome":"FAILED","error":"x""#, "/error must be an object"),
    (#""outcome":"FAILED","error":{"kind":"x"}"#, "/error/kind is not a known field"),
    (#""outcome":"RELEASED","logs":[1]"#, "/logs/0 must be a string"), (#""outcome":"CANCELLED","reslt":1"#, "/reslt"),
  ])
  func `a report with a mistake is INVALID, and the others are applied`(fields: String, detail: String) async throws {
    try await HTTPHarness.run { harness in
      let (wrong, bad) = try await harness.leased()
      let (right, good) = try await harness.leased()
      let reply = try await harness.post(
        "/leases/finish",
        #"{"results":[{"leaseId":"\#(bad)"\#(fields.isEmpty ? "" : ",")\#(fields)},{"leaseId":"\#(good)","outcome":"SUCCESS"}]}"#
      )
      #expect(reply.status == 200, "\(reply.text)")
      #expect(try reply.data.map { $0["state"] as? String } == ["INVALID", "APPLIED"], "\(reply.text)")
      #expect((try reply.data.first?["detail"] as? String)?.contains(detail) == true, "\(reply.text)")
      #expect(try await harness.get("/tasks/\(wrong)").string("status") == "RUNNING")
      #expect(try await harness.get("/tasks/\(right)").string("status") == "SUCCESS")
    }
  }

  @Test(arguments: [
    (#""outcome":"SUCCESS","logs":[1,"kept"]"#, "SUCCESS", "/logs/0 must be a string"),
    (#""outcome":"SUCCESS","logs":"x""#, "SUCCESS", "/logs must be an array"),
    (#""outcome":"SUCCESS","reslt":1"#, "SUCCESS", "/reslt is not a known field; did you mean result?"),
    (#""outcome":"FAILED","retryable":false,"result":{"a":1}"#, "DEAD", "/result belongs to SUCCESS, not to FAILED"),
    (#""outcome":"SNOOZED","delaySeconds":60,"result":1"#, "PENDING", "/result belongs to SUCCESS, not to SNOOZED"),
  ])
  func `done work is applied whatever else is wrong, and a result that cannot be costs no report`(
    report: String, status: String, detail: String
  ) async throws {
    try await HTTPHarness.run { harness in
      let (id, lease) = try await harness.leased()
      for _ in 1...2 {
        let answer = try await harness.finish(#"{"leaseId":"\#(lease)",\#(report)}"#)
        #expect(answer["state"] as? String == "APPLIED", "\(answer)")
        #expect((answer["detail"] as? String)?.hasPrefix(detail) == true, "\(answer)")
      }
      let task = try await harness.get("/tasks/\(id)")
      #expect(try task.string("status") == status)
      #expect(try task.isNull("result"))
    }
  }

  @Test(arguments: [65, 127, 128, 129, 1000, 100_000])
  func `a result that is nested too deep is kept as a text, and the others of its call are as ever`(depth: Int)
    async throws
  {
    try await HTTPHarness.run { harness in
      let ((deep, first), (plain, second)) = (try await harness.leased(), try await harness.leased())
      let nested = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
      let reply = try await harness.post(
        "/leases/finish",
        #"""
        {"results":[{"leaseId":"\#(first)","outcome":"SUCCESS","result":\#(nested)},
          {"leaseId":"\#(second)","outcome":"SUCCESS","result":{"a":1}}]}
        """#)
      #expect(reply.status == 200, "\(reply.text.prefix(300))")
      #expect(try reply.data.map { $0["state"] as? String } == ["APPLIED", "APPLIED"])
      #expect((try reply.data.first?["detail"] as? String)?.hasPrefix("/result is nested more than 64 levels") == true)
      #expect(try await harness.get("/tasks/\(deep)").string("result") == nested)
      #expect(try await harness.get("/tasks/\(plain)").raw("result") == #"{"a":1}"#)
    }
  }

  @Test(arguments: [
    (#"{"leaseId":"\#(unheardOf)","outcome":"SUCCESS"}"#, "LOST"),
    (#"{"leaseId":"nonsense","outcome":"SUCCESS"}"#, "LOST"), (#"{"outcome":"SUCCESS"}"#, "INVALID"), ("7", "INVALID"),
    (#"{"leaseId":7,"outcome":"SUCCESS"}"#, "INVALID"),
  ])
  func `a report without a lease that stands changes nothing`(entry: String, state: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/leases/finish", #"{"results":[\#(entry)]}"#)
      #expect(reply.status == 200)
      #expect(try reply.data.map { $0["state"] as? String } == [state])
      #expect(try reply.data.first?["task"] is NSNull)
    }
  }

  @Test func `a late report is LOST once the rescuer took the lease, and until then it applies`() async throws {
    try await HTTPHarness.run { harness in
      let (inTime, first) = try await harness.leased()
      harness.time.advance(by: .seconds(40))
      #expect(
        try await harness.finish(#"{"leaseId":"\#(first)","outcome":"SUCCESS"}"#)["state"] as? String == "APPLIED")
      #expect(try await harness.get("/tasks/\(inTime)").string("status") == "SUCCESS")
      let (late, second) = try await harness.leased()
      harness.time.advance(by: .seconds(40))
      _ = try await harness.store.rescue(limit: 10, randomness: 0)
      for outcome in ["SUCCESS", "FAILED", "RELEASED"] {
        let answer = try await harness.finish(#"{"leaseId":"\#(second)","outcome":"\#(outcome)"}"#)
        #expect(answer["state"] as? String == "LOST")
      }
      #expect(try await harness.renew(#"{"leaseId":"\#(second)"}"#)["state"] as? String == "LOST")
      #expect(try await harness.get("/tasks/\(late)").string("status") == "RETRY")
    }
  }

  @Test func `too long a result is applied without it, and too deep a one is kept as a text`() async throws {
    try await HTTPHarness.run { harness in
      let (long, first) = try await harness.leased()
      let result = "\"" + String(repeating: "x", count: Limits.resultBytes) + "\""
      let answer = try await harness.finish(#"{"leaseId":"\#(first)","outcome":"SUCCESS","result":\#(result)}"#)
      #expect(answer["state"] as? String == "APPLIED")
      let task = try await harness.get("/tasks/\(long)")
      #expect(try task.string("status") == "SUCCESS")
      #expect(try task.raw("resultTruncated") == "true")
      let (deep, second) = try await harness.leased()
      let nested = String(repeating: "[", count: 100) + String(repeating: "]", count: 100)
      #expect(
        try await harness.finish(#"{"leaseId":"\#(second)","outcome":"SUCCESS","result":\#(nested)}"#)["state"]
          as? String
          == "APPLIED")
      #expect(try await harness.get("/tasks/\(deep)").string("result") == nested)
    }
  }

  @Test func `log lines given with renewals stand before those of the report, and are cut together`() async throws {
    try await HTTPHarness.run { harness in
      let (id, lease) = try await harness.leased()
      for number in 1...3 {
        let lines = (0..<400).map { "\"\(number)-\($0)\"" }.joined(separator: ",")
        _ = try await harness.renew(#"{"leaseId":"\#(lease)","logs":[\#(lines)]}"#)
      }
      _ = try await harness.finish(#"{"leaseId":"\#(lease)","outcome":"SUCCESS","logs":["the end"]}"#)
      let logs = try #require(try await harness.get("/tasks/\(id)/attempts").data.first?["logs"] as? [String])
      #expect(logs.count == 1000)
      #expect(logs.first == "1-201")
      #expect(logs.suffix(2) == ["3-399", "the end"])
    }
  }

  // MARK: The envelope

  @Test(arguments: [
    ("/leases/renew", "{}", "/leases"), ("/leases/renew", #"{"leases":{}}"#, "/leases"),
    ("/leases/renew", #"{"leases":null}"#, "/leases"), ("/leases/renew", #"{"leases":[],"more":1}"#, "/more"),
    ("/leases/renew", "[]", ""), ("/leases/finish", "{}", "/results"),
    ("/leases/finish", #"{"leases":[],"results":[]}"#, "/leases"), ("/leases/finish", #"{"results":"x"}"#, "/results"),
  ])
  func `a malformed envelope is refused as a whole`(path: String, body: String, pointer: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post(path, body)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == [pointer], "\(reply.text)")
    }
  }

  @Test func `a thousand entries are taken, one more is not`() async throws {
    try await HTTPHarness.run { harness in
      func body(_ name: String, _ count: Int) -> String {
        let entry = #"{"leaseId":"\#(Self.unheardOf)","outcome":"SUCCESS"}"#
        return #"{"\#(name)":[\#(Array(repeating: entry, count: count).joined(separator: ","))]}"#
      }
      let reply = try await harness.post("/leases/finish", body("results", 1000))
      #expect(reply.status == 200)
      #expect(try reply.data.count == 1000)
      try await harness.post("/leases/finish", body("results", 1001)).expectProblem(422, "invalid")
      try await harness.post("/leases/renew", body("leases", 1001)).expectProblem(422, "invalid")
      #expect(try await harness.post("/leases/renew", #"{"leases":[]}"#).data.isEmpty)
    }
  }

  @Test func `who waits for a task is answered as soon as its remote worker reports`() async throws {
    let lookUps = LookUps()
    try await HTTPHarness.run(wrap: lookUps.watch) { harness in
      let (id, lease) = try await harness.leased()
      async let waited = harness.get("/tasks/\(id)?waitSeconds=60")
      await lookUps.first()
      _ = try await harness.finish(#"{"leaseId":"\#(lease)","outcome":"SUCCESS"}"#)
      #expect(try await waited.string("status") == "SUCCESS")
      #expect(
        harness.registry.render().contains(
          #"martlet_attempts_total{outcome="SUCCESS",queue="default",type="resize"} 1"#))
    }
  }
}

extension HTTPHarness {
  /// A task just submitted, and its lease.
  func leased(_ json: String = #"{"type":"resize"}"#) async throws -> (id: String, lease: String) {
    let id = try await submitted(json)
    let reply = try await post("/leases", #"{"worker":"w1","types":["resize"]}"#)
    let lease = try #require(try reply.leaseIDs.first)
    try #require(lease.hasPrefix(id))
    return (id, lease)
  }

  /// The answer about one entry.
  func renew(_ entry: String) async throws -> [String: Any] {
    let reply = try await post("/leases/renew", #"{"leases":[\#(entry)]}"#)
    try #require(reply.status == 200, "\(reply.text)")
    return try #require(try reply.data.first)
  }

  func finish(_ entry: String) async throws -> [String: Any] {
    let reply = try await post("/leases/finish", #"{"results":[\#(entry)]}"#)
    try #require(reply.status == 200, "\(reply.text)")
    return try #require(try reply.data.first)
  }
}
