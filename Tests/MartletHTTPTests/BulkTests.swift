// Actions on many tasks over HTTP, and the jobs that they are.

internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite struct BulkTests {
  @Test func `a cancel by filter answers what it matched and changed`() async throws {
    try await HTTPHarness.run { harness in
      var mails: [String] = []
      for _ in 1...3 { mails.append(try await harness.submitted(#"{"type":"mail","tags":["a"]}"#)) }
      let other = try await harness.submitted()
      let counted = try await harness.post("/tasks/cancel", #"{"filter":{"type":"mail"},"dryRun":true}"#)
      #expect(counted.status == 200 && counted.text == #"{"matched":3,"changed":0,"failed":0}"#)
      #expect(try await harness.get("/tasks/\(mails[0])").string("status") == "READY")
      let some = try await harness.post("/tasks/cancel", #"{"filter":{"type":["mail"],"tag":"a"},"limit":1}"#)
      #expect(some.status == 200 && some.text == #"{"matched":1,"changed":1,"failed":0}"#)
      #expect(try await harness.get("/tasks/\(mails[0])").string("status") == "CANCELLED")
      let rest = try await harness.post("/tasks/cancel", #"{"filter":{"type":"mail"}}"#)
      #expect(rest.text == #"{"matched":2,"changed":2,"failed":0}"#)
      #expect(try await harness.get("/tasks/\(other)").string("status") == "READY")
      let all = try await harness.post("/tasks/cancel", #"{"all":true}"#)
      #expect(all.text == #"{"matched":1,"changed":1,"failed":0}"#)
    }
  }

  @Test func `dead letters are retried and purged by filter`() async throws {
    try await HTTPHarness.run { harness in
      var ids: [String] = []
      for tag in ["a", "b", "b"] {
        ids.append(try await harness.submitted(#"{"type":"resize","tags":["\#(tag)"]}"#))
        try await harness.attempt(ids[ids.count - 1], .failed(.stub, .giveUp(.nonRetryable)))
      }
      let retry = try await harness.post("/dead-letters/retry", #"{"filter":{"tag":"a"}}"#)
      #expect(retry.text == #"{"matched":1,"changed":1,"failed":0}"#)
      #expect(try await harness.get("/tasks/\(ids[0])").string("status") == "READY")
      let purge = try await harness.post("/dead-letters/purge", #"{"filter":{},"all":true}"#)
      #expect(purge.text == #"{"matched":2,"changed":2,"failed":0}"#)
      #expect(try await harness.get("/tasks/\(ids[1])").status == 404)
      #expect(try await harness.get("/tasks/\(ids[0])").status == 200)
    }
  }

  @Test(arguments: [
    ("{}", ["/filter"]), (#"{"filter":{}}"#, ["/filter"]), (#"{"filter":null,"all":false}"#, ["/filter"]),
    (#"{"filter":{"tag":"a"},"limit":0}"#, ["/limit"]), (#"{"filter":{"tag":"a"},"limit":10001}"#, ["/limit"]),
    (#"{"filter":{"tag":"a"},"limit":"5"}"#, ["/limit"]),
    (#"{"filter":{"tag":"a"},"ratePerSecond":0}"#, ["/ratePerSecond"]),
    (#"{"filter":{"tag":"a"},"ratePerSecond":20000}"#, ["/ratePerSecond"]),
    (#"{"filter":{"tag":"a"},"dry_run":true}"#, ["/dry_run"]), (#"{"filter":{"tagg":"a"}}"#, ["/filter/tagg"]),
    (#"{"filter":{"queue":[]}}"#, ["/filter/queue"]), (#"{"filter":{"queue":[],"tag":"a"}}"#, ["/filter/queue"]),
    (#"{"filter":{"queue":[]},"all":true}"#, ["/filter/queue"]),
    (#"{"filter":{"type":[],"queue":""}}"#, ["/filter/type", "/filter/queue"]),
    (#"{"filter":{"metadata":{"a":"1"},"metadata.a":"2"}}"#, ["/filter/metadata.a"]),
    (#"{"filter":"all"}"#, ["/filter"]), (#"{"all":"yes"}"#, ["/all", "/filter"]),
  ])
  func `what cannot be meant is 422, and nothing is changed`(body: String, pointers: [String]) async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted(#"{"type":"resize","tags":["a"]}"#)
      for path in ["/tasks/cancel", "/dead-letters/retry", "/dead-letters/purge"] {
        let reply = try await harness.post(path, body)
        try reply.expectProblem(422, "invalid")
        #expect(try Set(reply.pointers) == Set(pointers), "\(reply.text)")
      }
      #expect(try await harness.get("/tasks/\(id)").string("status") == "READY")
      #expect(try await harness.get("/bulk").data.isEmpty)
    }
  }

  @Test func `an empty list of statuses is 422, as it would mean them all`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      let reply = try await harness.post("/tasks/cancel", #"{"filter":{"status":[],"type":"resize"}}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/filter/status"])
      #expect(try await harness.get("/tasks/\(id)").string("status") == "READY")
    }
  }

  @Test func `metadata is given as an object, by names with a prefix, or in both ways`() async throws {
    try await HTTPHarness.run { harness in
      _ = try await harness.submitted(#"{"type":"resize","metadata":{"a":"1","b":"2"}}"#)
      for filter in [
        #"{"metadata":{"a":"1"},"metadata.b":"2"}"#, #"{"metadata.a":"1","metadata.b":"2"}"#,
        #"{"metadata":{"a":"1","b":"2"}}"#,
      ] {
        let reply = try await harness.post("/tasks/cancel", #"{"filter":\#(filter),"dryRun":true}"#)
        #expect(reply.text == #"{"matched":1,"changed":0,"failed":0}"#)
      }
    }
  }

  @Test func `a status is chosen of those that can be cancelled, and of dead letters DEAD by any name`() async throws {
    try await HTTPHarness.run { harness in
      _ = try await harness.submitted()
      let final = try await harness.post("/tasks/cancel", #"{"filter":{"status":"SUCCESS"}}"#)
      #expect(try final.pointers == ["/filter/status"])
      let waiting = try await harness.post("/dead-letters/retry", #"{"filter":{"status":"READY"}}"#)
      #expect(try waiting.pointers == ["/filter/status"])
      for (status, path) in [("DEAD", "retry"), ("FAILED", "retry"), ("DEAD_LETTER", "purge")] {
        let id = try await harness.submitted(#"{"type":"dying","retries":0}"#)
        try await harness.attempt(id, .failed(.stub, .retry))
        let reply = try await harness.post("/dead-letters/\(path)", #"{"filter":{"status":"\#(status)"}}"#)
        #expect(reply.text == #"{"matched":1,"changed":1,"failed":0}"#)
        _ = try await harness.post("/tasks/cancel", #"{"filter":{"type":"dying"}}"#)
      }
      let ready = try await harness.post("/tasks/cancel", #"{"filter":{"status":"READY"}}"#)
      #expect(ready.text == #"{"matched":1,"changed":1,"failed":0}"#)
      try await harness.post("/tasks/cancel", "nonsense").expectProblem(400, "malformed-json")
    }
  }

  @Test func `more than ten thousand at once are refused with the way to do it`() async throws {
    try await HTTPHarness.run { harness in
      let tasks = (1...10_001).map { AcceptedTask.stub($0) }
      _ = try await harness.store.submit([Submission(tasks)])
      let reply = try await harness.post("/tasks/cancel", #"{"all":true}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == ["/ratePerSecond"])
      let counted = try await harness.post("/tasks/cancel", #"{"all":true,"dryRun":true}"#)
      #expect(counted.text == #"{"matched":10001,"changed":0,"failed":0}"#)
    }
  }

  @Test func `with a rate it is a job in the background, to be looked at and stopped`() async throws {
    try await HTTPHarness.run { harness in
      let id = try await harness.submitted()
      let body = #"{"filter":{"type":"resize"},"ratePerSecond":0.5}"#
      let reply = try await harness.post("/tasks/cancel", body)
      #expect(reply.status == 202)
      let bulk = try reply.string("bulkId")
      #expect(reply.header("location") == "/bulk/\(bulk)")
      #expect(try reply.int("matched") == 1, "as a dry run counts")
      #expect(try reply.int("changed") == 0)
      let job = try await harness.get("/bulk/\(bulk)")
      #expect(
        Set(try job.object.keys) == [
          "id", "action", "filter", "limit", "ratePerSecond", "status", "matched", "changed", "failed", "createdAt",
          "updatedAt", "finishedAt", "actor", "lastError",
        ])
      #expect(try job.string("status") == "RUNNING")
      #expect(try job.string("action") == "cancel")
      #expect(try job.string("actor") == "api")
      #expect(try job.raw("filter") == #"{"status":["PENDING","READY","RETRY","RUNNING"],"type":["resize"]}"#)
      #expect(try await harness.get("/bulk").ids == [bulk])
      for _ in 1...2 {
        let stopped = try await harness.act("/bulk/\(bulk)/stop")
        #expect(stopped.status == 200)
        #expect(try stopped.string("status") == "STOPPED")
      }
      #expect(try await harness.get("/tasks/\(id)").string("status") == "READY")
      for target in ["/bulk/x", "/bulk/01890000-0000-7000-8000-000000000000"] {
        try await harness.get(target).expectProblem(404, "not-found")
        try await harness.act(target + "/stop").expectProblem(404, "not-found")
      }
    }
  }

  @Test func `what a purge keeps for its key is counted in the answer`() async throws {
    try await HTTPHarness.run { harness in
      for key in [#","idempotencyKey":"k""#, ""] {
        let id = try await harness.submitted(#"{"type":"dying","retries":0\#(key)}"#)
        try await harness.attempt(id, .failed(.stub, .retry))
      }
      let reply = try await harness.post("/dead-letters/purge", #"{"all":true}"#)
      #expect(reply.text == #"{"matched":2,"changed":1,"failed":1}"#)
    }
  }

  @Test func `jobs are listed newest first, page by page`() async throws {
    try await HTTPHarness.run { harness in
      var ids: [String] = []
      for number in 1...3 {
        let body = #"{"filter":{"tag":"\#(number)"},"ratePerSecond":1}"#
        ids.append(try await harness.post("/tasks/cancel", body).string("bulkId"))
      }
      let first = try await harness.get("/bulk?limit=2")
      #expect(try first.ids == [ids[2], ids[1]])
      let second = try await harness.get("/bulk?limit=2&cursor=\(try first.string("nextCursor"))")
      #expect(try second.ids == [ids[0]])
      #expect(try second.isNull("nextCursor"))
      for query in ["limit=0", "cursor=x", "status=RUNNING"] {
        try await harness.get("/bulk?\(query)").expectProblem(422, "invalid")
      }
    }
  }

  @Test func `a credential that is bound to queues acts only within them, and sees only such jobs`() async throws {
    let book = MemoryAPIKeyBook()
    let bound = [("X-API-Key", book.add(["operator"], queues: ["mail*"]))]
    let free = [("X-API-Key", book.add(["operator"]))]
    try await HTTPHarness.run(configure: { $0.auth = AuthConfiguration(apiKeys: true) }, apiKeys: book) { harness in
      _ = try await harness.store.submit([
        Submission([.stub(1, queue: "mail-eu"), .stub(2, queue: "default"), .stub(3, queue: "mail")])
      ])
      let others = try await harness.post("/tasks/cancel", #"{"filter":{"queue":"default"}}"#, headers: bound)
      #expect(others.text == #"{"matched":0,"changed":0,"failed":0}"#)
      let all = try await harness.post("/tasks/cancel", #"{"all":true}"#, headers: bound)
      #expect(all.text == #"{"matched":2,"changed":2,"failed":0}"#)
      let rest = try await harness.post("/tasks/cancel", #"{"all":true}"#, headers: free)
      #expect(rest.text == #"{"matched":1,"changed":1,"failed":0}"#)
      #expect(try await harness.get("/bulk", headers: bound).ids.count == 2)
      let jobs = try await harness.get("/bulk", headers: free).ids
      #expect(jobs.count == 3)
      try await harness.get("/bulk/\(jobs[0])", headers: bound).expectProblem(404, "not-found")
      let stop = try await harness.send("POST", "/bulk/\(jobs[0])/stop", headers: bound)
      try stop.expectProblem(404, "not-found")
      #expect(try await harness.get("/bulk/\(jobs[1])", headers: bound).status == 200)
    }
  }
}
