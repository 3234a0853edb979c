// Actions on many tasks, explanations and the audit as the client asks for them and reads them.

internal import Foundation
internal import ScriptedServer
internal import Testing

@testable internal import MartletClient

@Suite("Operations")
struct OperationTests {
  @Test("a filter travels as fields, with what was asked for beside it")
  func bulkBody() async throws {
    var filter = TaskFilter()
    filter.statuses = [.ready, .pending]
    filter.types = ["mail"]
    filter.queues = ["b", "a"]
    filter.tag = "t"
    filter.worker = "w"
    filter.graphID = Fixtures.id
    filter.idempotencyKey = "o-1"
    filter.scheduleName = "nightly"
    filter.metadata = ["k": "v"]
    filter.createdAfter = Timestamp("2026-01-01T10:00:00Z")
    filter.createdBefore = Timestamp("2026-02-01T10:00:00Z")
    var options = BulkOptions()
    options.limit = 5
    options.dryRun = true
    options.ratePerSecond = 2.5
    let (asked, wanted) = (filter, options)
    try await withClient(script: { _, _ in .json(200, #"{"matched":3,"changed":0}"#) }) { client, server in
      let result = try await client.cancelTasks(asked, wanted)
      #expect(result.matched == 3 && result.changed == 0 && result.bulkID == nil)
      let request = try #require(server.requests.first)
      #expect(request.method == "POST" && request.target == "/tasks/cancel")
      #expect(
        request.text
          == #"{"filter":{"status":["PENDING","READY"],"type":["mail"],"queue":["a","b"],"tag":"t","worker":"w","#
          + #""metadata":{"k":"v"},"graphId":"\#(Fixtures.id)","idempotencyKey":"o-1","scheduleName":"nightly","#
          + #""createdAfter":"2026-01-01T10:00:00.000Z","createdBefore":"2026-02-01T10:00:00.000Z"},"#
          + #""limit":5,"dryRun":true,"ratePerSecond":2.5}"#)
      // A filter that is left out would act on more tasks than were meant.
      let fields = try #require(try JSONSerialization.jsonObject(with: Data(request.text.utf8)) as? [String: Any])
      let named = try #require(fields["filter"] as? [String: Any]).keys.map { $0 == "metadata" ? "metadata.k" : $0 }
      #expect(named.sorted() == asked.query.map(\.name).sorted())
      let properties = Mirror(reflecting: asked).children.count
      #expect(named.count == properties - 2, "payload and result are for lists alone")
    }
  }

  @Test("an act on many tasks may take two minutes, and no silence ends it sooner; no other call is as patient")
  func patience() {
    var options = MartletClient.Options()
    for requestTimeout in [Duration.milliseconds(50), .seconds(30), .seconds(300)] {
      options.requestTimeout = requestTimeout
      for path in ["/tasks/cancel", "/dead-letters/retry", "/dead-letters/purge"] {
        let call = Call.bulk(path, TaskFilter(), BulkOptions())
        #expect(call.limit(options) == requestTimeout + .seconds(120))
        #expect(call.limit(options) <= options.readTimeout)
      }
      #expect(Call.submit(NewTask(type: "a")).limit(options) == requestTimeout)
      #expect(Call.task(Fixtures.id, waiting: Call.longestWait).limit(options) == requestTimeout + .seconds(30))
    }
  }

  @Test("dead letters are retried and purged on their paths, everything only with all")
  func deadLetters() async throws {
    var options = BulkOptions()
    options.all = true
    let everything = options
    let answer = #"{"matched":3,"changed":2,"bulkId":"\#(Fixtures.id)"}"#
    try await withClient(script: { _, _ in .json(202, answer) }) { client, server in
      let retried = try await client.retryDeadLetters(TaskFilter(), everything)
      #expect(retried.bulkID == Fixtures.id)
      let purged = try await client.purgeDeadLetters(TaskFilter())
      #expect(purged.changed == 2)
      #expect(server.requests.map(\.target) == ["/dead-letters/retry", "/dead-letters/purge"])
      #expect(server.requests.map(\.text) == [#"{"filter":{},"all":true}"#, #"{"filter":{}}"#])
    }
  }

  private static let job = """
    {"id":"\(Fixtures.id)","action":"cancel","filter":{"tag":"t"},"limit":null,"ratePerSecond":2,"status":"RUNNING","matched":4,\
    "changed":3,"failed":1,"createdAt":"2026-02-01T10:00:00.000Z","updatedAt":"2026-02-01T10:00:01.000Z","finishedAt":null,\
    "actor":"api","lastError":null}
    """

  @Test("jobs are listed, shown and stopped")
  func jobs() async throws {
    try await withClient(script: { request, _ in
      .json(200, request.path == "/bulk" ? #"{"data":[\#(Self.job)],"nextCursor":"d"}"# : Self.job)
    }) { client, server in
      let page = try await client.bulkJobs(limit: 7, after: "c/1")
      let job = try #require(page.jobs.first)
      #expect(page.nextCursor == "d")
      #expect(job.status == "RUNNING" && job.matched == 4 && job.changed == 3 && job.failed == 1)
      #expect(job.filter == Array(#"{"tag":"t"}"#.utf8) && job.finishedAt == nil && job.ratePerSecond == 2)
      #expect(try await client.bulkJob(Fixtures.id) == job)
      #expect(try await client.stopBulk(Fixtures.id) == job)
      #expect(
        server.requests.map { "\($0.method) \($0.target)" } == [
          "GET /bulk?limit=7&cursor=c%2F1", "GET /bulk/\(Fixtures.id)", "POST /bulk/\(Fixtures.id)/stop",
        ])
    }
  }

  @Test("an explanation is read with every blocker, known or new")
  func explanation() async throws {
    let json = """
      {"status":"READY","blockers":[{"kind":"no-worker","detail":"none"},{"kind":"moon-phase","detail":"?"}],\
      "queuePosition":3,"nextAttemptAt":null}
      """
    try await withClient(script: { _, _ in .json(200, json) }) { client, server in
      let explanation = try await client.explain(Fixtures.id)
      #expect(explanation.status == .ready && explanation.queuePosition == 3 && explanation.nextAttemptAt == nil)
      #expect(explanation.blockers.map(\.kind) == ["no-worker", "moon-phase"])
      #expect(server.requests.first?.target == "/tasks/\(Fixtures.id)/explain")
    }
  }

  @Test("the audit is asked for by its filters, and read entry by entry")
  func audit() async throws {
    let entry =
      #"{"id":7,"at":"2026-02-01T10:00:00.000Z","actor":"key:a","action":"task.cancel","target":"x","detail":null}"#
    let page = #"{"data":[\#(entry)],"nextCursor":"c"}"#
    var filter = AuditFilter()
    filter.actor = "key:a"
    filter.target = "a b"
    let asked = filter
    try await withClient(script: { _, _ in .json(200, page) }) { client, server in
      let page = try await client.audit(asked, limit: 5, after: "b")
      #expect(page.nextCursor == "c" && page.entries.map(\.action) == ["task.cancel"])
      #expect(page.entries[0].detail == nil && page.entries[0].id == 7)
      #expect(server.requests.first?.target == "/audit?actor=key%3Aa&target=a%20b&limit=5&cursor=b")
    }
  }
}
