// Credentials that are bound to queues: outside them nothing can be put in or taken out, and nothing is there to be seen.

internal import Crypto
internal import Foundation
internal import HTTPTypes
internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite(.timeLimit(.minutes(10))) struct ScopeTests {
  private typealias Headers = [(String, String)]

  private static let auth = AuthConfiguration(apiKeys: true, bootstrapKey: bootstrap)
  private static let bootstrap = "the-first-key-of-this-installation"
  private static let boss = [("X-API-Key", bootstrap)]

  /// - Parameter bound: roles `admin` and `worker` in the queues `mail*`.
  private func run(
    queues: [String] = ["mail*"],
    _ body: (_ harness: HTTPHarness, _ bound: [(String, String)]) async throws -> Void
  ) async throws {
    let book = MemoryAPIKeyBook()
    let key = book.add(["operator", "producer", "worker"], queues: queues)
    try await HTTPHarness.run(configure: { $0.auth = Self.auth }, apiKeys: book) { harness in
      try await body(harness, [("X-API-Key", key)])
    }
  }

  private func submit(
    _ harness: HTTPHarness, _ fields: String, headers: [(String, String)] = boss
  ) async throws -> String {
    let reply = try await harness.post("/tasks", #"{"type":"resize"\#(fields)}"#, headers: headers)
    try #require(reply.status == 201, "\(reply.text)")
    return try reply.string("id")
  }

  @Test func `a submission outside is 403, with the queue that the task would really get`() async throws {
    try await run { harness, bound in
      for json in [#"{"type":"resize","queue":"other"}"#, #"{"type":"resize"}"#] {
        let reply = try await harness.post("/tasks", json, headers: bound)
        try reply.expectProblem(403, "forbidden")
        #expect(try reply.pointers == ["/queue"])
      }
      let batch =
        #"{"tasks":[{"type":"a","queue":"mail"},{"type":"a"},{"type":"a","queue":"mail2"},{"type":"a","queue":"x"}]}"#
      let reply = try await harness.post("/tasks/batch", batch, headers: bound)
      try reply.expectProblem(403, "forbidden")
      #expect(try reply.pointers == ["/tasks/1/queue", "/tasks/3/queue"])
      #expect(try await harness.get("/tasks", headers: Self.boss).ids.isEmpty)
      _ = try await submit(harness, #","queue":"mail.fast""#, headers: bound)
    }
    try await run(queues: ["def*"]) { harness, bound in _ = try await submit(harness, "", headers: bound) }
  }

  @Test func `notices of tasks outside are not there, and are not sent again`() async throws {
    try await run { harness, bound in
      let notify = #","notify":[{"email":"a@example.com"}]"#
      let hidden = try await submit(harness, notify)
      let own = try await submit(harness, #","queue":"mail""# + notify)
      for id in [hidden, own] { _ = try await harness.post("/tasks/\(id)/cancel", "", headers: Self.boss) }
      for id in [hidden, own] {
        let task = try #require(TaskID(id))
        _ = try await harness.store.steer([Steering(.retry, task: task, actor: "a")])
      }
      let request = ClaimRequest(
        worker: "w", queues: ["default", "mail"], types: ["resize"], limit: 2, ahead: 0, token: 7, isLocal: false)
      for claimed in try await harness.store.claim([request])[0] {
        _ = try await harness.store.finish([Finish(lease: claimed.lease, outcome: .success, logs: [], randomness: 0)])
      }
      let all = try await harness.get("/notifications", headers: Self.boss).data.compactMap { $0["taskId"] as? String }
      #expect(Set(all) == [hidden, own])
      let seen = try await harness.get("/notifications", headers: bound).data
      #expect(seen.compactMap { $0["taskId"] as? String } == [own])
      let ids = try await harness.get("/notifications", headers: Self.boss).data.compactMap { $0["id"] as? String }
      for id in ids {
        let reply = try await harness.post("/notifications/\(id)/resend", "", headers: bound)
        #expect(reply.status == (id.hasPrefix(own) ? 200 : 404))
      }
    }
  }

  @Test func `every call about a task outside is 404, word for word as if it were not there`() async throws {
    try await run { harness, bound in
      let hidden = try await submit(harness, #","queue":"other","delaySeconds":60"#)
      let own = try await submit(harness, #","queue":"mail","delaySeconds":60"#)
      let absent = TaskID.stub(1).description
      for route in RouteTable.all where route.path.hasPrefix("/tasks/{id}") {
        let body = route.body == .required ? #"{"priority":9}"# : nil
        func call(_ id: String) async throws -> Reply {
          let target = route.path.replacing("{id}", with: id)
          var headers = bound
          if body != nil { headers.append(("Content-Type", "application/json")) }
          return try await harness.send(
            route.method.rawValue, target, headers: headers, body: body.map { Array($0.utf8) })
        }
        let reply = try await call(hidden)
        try reply.expectProblem(404, "not-found")
        let nothing = try await call(absent)
        #expect(try reply.string("detail").replacing(hidden, with: absent) == nothing.string("detail"), "\(route.path)")
        #expect(try await call(own).status != 404, "\(route.path)")
      }
      let untouched = try await harness.get("/tasks/\(hidden)", headers: Self.boss)
      #expect(try untouched.string("status") == "PENDING" && untouched.int("priority") == 5)
      let waiting = try await harness.get("/tasks/\(hidden)?waitSeconds=60", headers: bound)
      try waiting.expectProblem(404, "not-found")
    }
  }

  @Test func `lists, dead letters and queues show only what is inside, on full pages`() async throws {
    try await run { harness, bound in
      var inside: [String] = []
      for number in 0..<12 {
        let id = try await submit(harness, #","queue":"\#(number % 3 == 0 ? "mail.\(number)" : "other")""#)
        if number % 3 == 0 { inside.insert(id, at: 0) }
      }
      let page = try await harness.get("/tasks?limit=3", headers: bound)
      #expect(try page.ids == Array(inside.prefix(3)))
      let cursor = try page.string("nextCursor")
      #expect(try await harness.get("/tasks?limit=3&cursor=\(cursor)", headers: bound).ids == [inside[3]])
      #expect(try await harness.get("/tasks?queue=other", headers: bound).ids.isEmpty)
      #expect(try await harness.get("/tasks?queue=other,mail.0", headers: bound).ids == [inside[3]])

      for queue in ["mail.x", "dead"] {
        let id = try await submit(harness, #","queue":"\#(queue)""#)
        try await harness.attempt(id, .failed(.stub, .giveUp(.nonRetryable)))
      }
      let dead = try await harness.get("/dead-letters", headers: bound)
      #expect(try dead.data.compactMap { $0["queue"] as? String } == ["mail.x"])

      let queues = try await harness.get("/queues", headers: bound)
      #expect(
        try queues.data.compactMap { $0["name"] as? String } == ["mail.0", "mail.3", "mail.6", "mail.9", "mail.x"])
      #expect(try await harness.get("/queues/mail.0", headers: bound).status == 200)
      try await harness.get("/queues/other", headers: bound).expectProblem(404, "not-found")
    }
  }

  @Test func `counts are of what is inside`() async throws {
    try await run { harness, bound in
      for queue in ["mail", "mail", "other"] { _ = try await submit(harness, #","queue":"\#(queue)""#) }
      func ready(_ headers: [(String, String)]) async throws -> (Int?, Double?) {
        let stats = try await harness.get("/stats", headers: headers).object
        let throughput = stats["throughput"] as? [String: Any]
        return ((stats["byStatus"] as? [String: Any])?["READY"] as? Int, throughput?["submittedPerSecond"] as? Double)
      }
      let (all, mine) = (try await ready(Self.boss), try await ready(bound))
      #expect(all.0 == 3 && mine.0 == 2)
      #expect(try #require(mine.1) > 0 && mine.1 ?? 0 < all.1 ?? 0)
      #expect(try await harness.get("/stats", headers: bound).object["byType"] is [String: Any])
    }
  }

  @Test func `workers are listed that serve what is inside, without their other queues`() async throws {
    try await run { harness, bound in
      for (name, queues) in [("a", ["mail", "secret"]), ("b", ["secret"]), ("c", ["*"])] {
        var worker = WorkerRecord.stub(name)
        worker.queues = queues
        try await harness.store.register(worker)
      }
      let reply = try await harness.get("/workers", headers: bound)
      #expect(try reply.ids == ["a", "c"])
      #expect(try reply.data.compactMap { $0["queues"] as? [String] } == [["mail"], ["*"]])
      #expect(!reply.text.contains("secret"))
    }
  }

  @Test func `types show the tasks, the workers and the names of what is inside`() async throws {
    try await run { harness, bound in
      for (name, types, queues) in [
        ("a", ["resize", "mixed"], ["mail", "secret"]), ("b", ["resize", "hidden"], ["secret"]), ("c", ["any"], ["*"]),
      ] {
        var worker = WorkerRecord.stub(name)
        (worker.types, worker.queues) = (types, queues)
        try await harness.store.register(worker)
      }
      _ = try await submit(harness, #","queue":"mail""#)
      for (type, defaults) in [("near", #"{"queue":"mail"}"#), ("far", #"{"queue":"secret"}"#), ("usual", "{}")] {
        let reply = try await harness.send(
          "PUT", "/types/\(type)", headers: Self.boss + [("Content-Type", "application/json")],
          body: Array(#"{"defaults":\#(defaults)}"#.utf8))
        #expect(reply.status == 200)
      }
      let reply = try await harness.get("/types", headers: bound)
      #expect(try reply.data.compactMap { $0["name"] as? String } == ["any", "mixed", "near", "resize"])
      #expect(try reply.data.compactMap { $0["workers"] as? [String] } == [["c"], ["a"], [], ["a"]])
      #expect(!reply.text.contains("secret"))
      for type in ["hidden", "far", "usual"] {
        try await harness.get("/types/\(type)", headers: bound).expectProblem(404, "not-found")
      }
      let all = try await harness.get("/types", headers: Self.boss)
      #expect(
        try all.data.compactMap { $0["name"] as? String } == [
          "any", "far", "hidden", "mixed", "near", "resize", "usual",
        ])
      #expect(try all.data.last { $0["name"] as? String == "resize" }?["workers"] as? [String] == ["a", "b"])
    }
  }

  @Test func `an explanation counts what is waited for outside, and names it not`() async throws {
    try await run { harness, bound in
      let near = try await submit(harness, #","queue":"mail""#)
      let far = try await submit(harness, #","queue":"other""#)
      let both = try await submit(harness, #","queue":"mail","dependencies":["\#(near)","\#(far)"]"#)
      let one = try await submit(harness, #","queue":"mail","dependencies":["\#(far)"]"#)
      var elsewhere = WorkerRecord.stub("foreign")
      elsewhere.queues = ["other"]
      try await harness.store.register(elsewhere)
      func details(_ id: String, _ headers: [(String, String)]) async throws -> [String?] {
        let reply = try await harness.get("/tasks/\(id)/explain", headers: headers)
        let blockers = try #require(try reply.object["blockers"] as? [[String: String]])
        return blockers.map { $0["detail"] }
      }
      let nobody = "no live worker handles the type 'resize'"
      #expect(try await details(both, bound) == ["waits for \(near) (READY) and 1 more", nobody])
      #expect(try await details(one, bound) == ["waits for 1 task", nobody])
      #expect(try await details(both, Self.boss).first??.contains(far) == true)
    }
  }

  @Test func `a graph shows its tasks inside, and is not there where none is`() async throws {
    try await run { harness, bound in
      let json =
        #"{"tasks":[{"type":"a","ref":"a","queue":"mail"},{"type":"b","ref":"b","queue":"other","dependencies":["a"]},{"type":"c","ref":"c","queue":"mail","dependencies":["a","b"]}]}"#
      let batch = try await harness.post("/tasks/batch", json, headers: Self.boss)
      let tasks = try batch.data
      let graph = try #require(tasks[0]["graphId"] as? String)
      let ids = try batch.ids
      let seen = try await harness.get("/graphs/\(graph)", headers: bound)
      #expect((try seen.object["tasks"] as? [[String: Any]])?.compactMap { $0["ref"] as? String } == ["a", "c"])
      #expect(try seen.object["edges"] as? [[String]] == [[ids[0], ids[2]]])
      #expect(!seen.text.contains(ids[1]))
      let hidden = try await harness.post(
        "/tasks/batch", json.replacing("mail", with: "other"), headers: Self.boss)
      let other = try #require(try hidden.data[0]["graphId"] as? String)
      let reply = try await harness.get("/graphs/\(other)", headers: bound)
      try reply.expectProblem(404, "not-found")
      #expect(try reply.string("detail") == "there is no graph '\(other)'")
    }
  }

  @Test func `a task outside cannot be depended on, as if it were not there`() async throws {
    try await run { harness, bound in
      let hidden = try await submit(harness, #","queue":"other""#)
      let reply = try await harness.post(
        "/tasks", #"{"type":"a","queue":"mail","dependencies":["\#(hidden)"]}"#, headers: bound)
      let absent = try await harness.post(
        "/tasks", #"{"type":"a","queue":"mail","dependencies":["\#(TaskID.stub(1))"]}"#, headers: bound)
      try reply.expectProblem(422, "invalid")
      #expect(try reply.pointers == absent.pointers)
      #expect(
        try reply.string("detail").replacing(hidden, with: "\(TaskID.stub(1))") == absent.string("detail"))
      #expect(try await harness.get("/tasks", headers: bound).ids.isEmpty)
    }
  }

  @Test func `a key of a task outside is 422 reused, and nothing is written`() async throws {
    try await run { harness, bound in
      let json = #"{"type":"resize","queue":"mail"}"#
      // The same request of a time when its task got another queue.
      let canonical = Array(#"{"queue":"mail","type":"resize"}"#.utf8)
      var task = AcceptedTask.stub(queue: "other")
      task.idempotencyKey = "k1"
      let key = IdempotencyKey("k1", fingerprint: Array(SHA256.hash(data: canonical)), tasks: [0])
      _ = try await harness.store.submit([Submission([task], keys: [key])])
      let reply = try await harness.post("/tasks", json, headers: bound + [("Idempotency-Key", "k1")])
      try reply.expectProblem(422, "idempotency-key-reused")
      let replayed = try await harness.post("/tasks", json, headers: Self.boss + [("Idempotency-Key", "k1")])
      #expect(replayed.status == 200)

      let batch = #"{"tasks":[{"type":"new","queue":"mail"},{"type":"resize","queue":"mail","idempotencyKey":"k1"}]}"#
      let refused = try await harness.post("/tasks/batch", batch, headers: bound)
      try refused.expectProblem(422, "idempotency-key-reused")
      #expect(try await harness.get("/tasks?type=new", headers: Self.boss).ids.isEmpty)
    }
  }

  @Test func `a lease outside is 403, one inside goes on to its end`() async throws {
    try await run { harness, bound in
      func lease(_ queues: String) async throws -> Reply {
        try await harness.post(
          "/leases", #"{"worker":"w","types":["resize"]\#(queues)}"#, headers: bound)
      }
      for queues in ["", #","queues":["*"]"#, #","queues":["mail","other"]"#] {
        try await lease(queues).expectProblem(403, "forbidden")
      }
      #expect(try await lease(#","queues":["mail","other"]"#).pointers == ["/queues/1"])
      let id = try await submit(harness, #","queue":"mail""#)
      let leases = try #require(try await lease(#","queues":["mail"]"#).object["leases"] as? [[String: Any]])
      let leaseID = try #require(leases.first?["leaseId"] as? String)
      let finish = try await harness.post(
        "/leases/finish", #"{"results":[{"leaseId":"\#(leaseID)","outcome":"SUCCESS"}]}"#, headers: bound)
      #expect(finish.text.contains("APPLIED"))
      #expect(try await harness.get("/tasks/\(id)", headers: bound).string("status") == "SUCCESS")
    }
  }

  @Test func `bound to no queue at all, nothing is to be had`() async throws {
    try await run(queues: []) { harness, bound in
      _ = try await submit(harness, #","queue":"mail""#)
      #expect(try await harness.get("/tasks", headers: bound).ids.isEmpty)
      #expect(try await harness.get("/queues", headers: bound).data.isEmpty)
      let reply = try await harness.post("/tasks", #"{"type":"a","queue":"mail"}"#, headers: bound)
      try reply.expectProblem(403, "forbidden")
    }
  }

  @Test func `what is done is done in the credential's name`() async throws {
    try await run { harness, bound in
      let id = try await submit(harness, #","queue":"mail","delaySeconds":60"#)
      _ = try await harness.send("POST", "/tasks/\(id)/cancel", headers: bound)
      let events = try await harness.get("/tasks/\(id)/events", headers: bound).data
      #expect(events.last?["actor"] as? String == "key:mailer")
      let own = try await harness.post("/tasks", #"{"type":"a","queue":"mail"}"#, headers: bound).string("id")
      let received = try await harness.get("/tasks/\(own)/events", headers: bound).data.first
      #expect(received?["actor"] as? String == "key:mailer")
      let audit = try await harness.get("/audit", headers: Self.boss).data
      #expect(audit.first?["actor"] as? String == "key:mailer")
    }
  }
}
