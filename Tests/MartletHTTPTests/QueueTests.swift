// Settings of queues and types over HTTP.

internal import Foundation
internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite struct QueueTests {
  @Test func `a queue's settings change one by one, and null takes a limit away`() async throws {
    try await HTTPHarness.run { harness in
      let first = try await harness.patch("/queues/mail", #"{"concurrency":5,"ratePerSecond":0.5,"burst":9}"#)
      #expect(first.status == 200)
      #expect(try first.string("name") == "mail")
      let second = try await harness.patch("/queues/mail", #"{"paused":true,"ratePerSecond":null}"#)
      let object = try second.object
      #expect(object["paused"] as? Bool == true)
      #expect(object["concurrency"] as? Int == 5)
      #expect(object["concurrencyPerKey"] as? Int == 1)
      #expect(try second.isNull("ratePerSecond"))
      #expect(object["burst"] as? Int == 9)
      #expect(try second.isNull("maxDepth"))
      #expect(try await harness.get("/queues/mail").text == second.text)
      let third = try await harness.patch("/queues/mail", #"{"paused":null,"concurrency":3}"#)
      #expect(try third.object["paused"] as? Bool == true, "null is absent")
      #expect(try third.object["concurrency"] as? Int == 3)
      _ = try await harness.patch("/queues/mail", #"{"concurrency":5}"#)
      #expect(try await harness.get("/queues").text.contains(second.text))
    }
  }

  @Test(arguments: [
    ("{}", [""]), (#"{"concurrency":0}"#, ["/concurrency"]), (#"{"concurrency":"5"}"#, ["/concurrency"]),
    (#"{"concurrency":1.5}"#, ["/concurrency"]), (#"{"rate":5}"#, ["/rate"]), (#"{"paused":null}"#, [""]),
    (#"{"paused":"yes"}"#, ["/paused"]), (#"{"ratePerSecond":0}"#, ["/ratePerSecond"]),
    (#"{"ratePerSecond":1e9,"burst":-1}"#, ["/ratePerSecond", "/burst"]), (#"{"maxDepth":1e15}"#, ["/maxDepth"]),
    (#"{"burst":1,"burst":2}"#, ["/burst"]), ("[]", [""]),
  ])
  func `what cannot be set is told with its place`(body: String, pointers: [String]) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.patch("/queues/mail", body)
      try reply.expectProblem(422, "invalid")
      #expect(try Set(reply.pointers) == Set(pointers), "\(reply.text)")
      #expect(try await harness.store.queueSettings().isEmpty)
    }
  }

  @Test func `what cannot be a queue cannot be found`() async throws {
    try await HTTPHarness.run { harness in
      for name in ["a%20b", String(repeating: "q", count: 129)] {
        try await harness.patch("/queues/\(name)", #"{"paused":true}"#).expectProblem(404, "not-found")
        try await harness.put("/types/\(name)", "{}").expectProblem(404, "not-found")
      }
    }
  }

  @Test func `a full queue is 429 with Retry-After`() async throws {
    try await HTTPHarness.run { harness in
      _ = try await harness.patch("/queues/default", #"{"maxDepth":2}"#)
      #expect(try await harness.post("/tasks/batch", #"{"tasks":[{"type":"a"},{"type":"a"}]}"#).status == 201)
      for (path, body) in [("/tasks", #"{"type":"a"}"#), ("/tasks/batch", #"{"tasks":[{"type":"a"}]}"#)] {
        let reply = try await harness.post(path, body)
        try reply.expectProblem(429, "queue-full")
        #expect(reply.header("Retry-After") == "1")
        #expect(try reply.string("detail").contains("'default'"))
        #expect(try reply.object["retryable"] as? Bool == true)
      }
    }
  }

  @Test func `a type's defaults fill what a submission leaves out`() async throws {
    try await HTTPHarness.run { harness in
      let body =
        #"{"defaults":{"queue":"mail","priority":9,"retries":1,"timeoutSeconds":5,"backoff":{"jitter":0}},"paused":false}"#
      let put = try await harness.put("/types/welcome", body)
      #expect(put.status == 200)
      #expect(try put.string("name") == "welcome")
      let plain = try await harness.post("/tasks", #"{"type":"welcome","backoff":{"baseSeconds":7}}"#).object
      #expect(plain["queue"] as? String == "mail")
      #expect(plain["priority"] as? Int == 9)
      #expect(plain["maxAttempts"] as? Int == 2)
      #expect(plain["timeoutSeconds"] as? Double == 5)
      #expect((plain["backoff"] as? [String: Any])?["jitter"] as? Double == 0)
      #expect((plain["backoff"] as? [String: Any])?["baseSeconds"] as? Double == 7)
      let own = try await harness.post("/tasks", #"{"type":"welcome","queue":"other","priority":1}"#).object
      #expect(own["queue"] as? String == "other")
      #expect(own["priority"] as? Int == 1)
      let type = try await harness.get("/types/welcome").object
      #expect((type["counts"] as? [String: Int])?["READY"] == 2)
      #expect((type["workers"] as? [String])?.isEmpty == true)
      _ = try await harness.put("/types/welcome", "{}")
      #expect(try await harness.post("/tasks", #"{"type":"welcome"}"#).object["queue"] as? String == "default")
    }
  }

  @Test(arguments: [
    (#"{"default":{}}"#, ["/default"]), (#"{"defaults":{"priority":10}}"#, ["/defaults/priority"]),
    (#"{"defaults":{"queue":"a b","retrys":1}}"#, ["/defaults/retrys"]),
    (#"{"defaults":{"queue":"a b"}}"#, ["/defaults/queue"]), (#"{"defaults":[]}"#, ["/defaults"]),
    (#"{"defaults":{"backoff":{"factor":0}}}"#, ["/defaults/backoff/factor"]), (#"{"paused":1}"#, ["/paused"]),
  ])
  func `what a type cannot have is told with its place`(body: String, pointers: [String]) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.put("/types/welcome", body)
      try reply.expectProblem(422, "invalid")
      #expect(try Set(reply.pointers) == Set(pointers), "\(reply.text)")
      #expect(try await harness.store.typeSettings().isEmpty)
    }
  }

  @Test func `types nobody has heard of cannot be found`() async throws {
    try await HTTPHarness.run { harness in
      try await harness.get("/types/nothing").expectProblem(404, "not-found")
    }
  }
}
