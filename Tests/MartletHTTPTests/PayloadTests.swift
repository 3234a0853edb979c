// Payloads and results are kept and answered byte for byte.

internal import MartletCore
internal import MartletTestKit
internal import Testing

@Suite struct PayloadTests {
  @Test(arguments: [
    "{}", "[]", "null", "true", "0", "-0", "-0.0", #""""#, #""\u0000""#, #""\ud83d\ude00 \uD800 lone""#,
    #""\/ \b\f\n\r\t""#,
    "1e400", "-1E-400", "12345678901234567890123456789012345678901234567890", "0.1000000000000000055511151231257827",
    "1.0", "1e2", #"{"a":1,"a":2,"a":{"a":3,"a":4}}"#, "{ \"a\" :\t[ 1 ,\r\n 2 ] }", #"{"":{"":[]}}"#,
    #"{"ключ":"значение","😀":"é e\#u{301}","rtl":"\#u{202E}"}"#, "\"\u{7F}\u{80}\u{2028}\u{FFFF}\u{10FFFF}\"",
    #"{"type":"not the task's","__proto__":null,"\u0074ype":1}"#,
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
  ])
  func `a payload comes back byte for byte`(payload: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", #"{"type" : "resize" , "payload" : \#(payload) , "priority":1}"#)
      #expect(reply.status == 201, "\(reply.text)")
      #expect(try reply.raw("payload") == payload)
      let id = try reply.string("id")
      #expect(try await harness.get("/tasks/\(id)").raw("payload") == payload)
      #expect(try await harness.store.tasks([try harness.taskID(id)])[0]?.payload == Array(payload.utf8))
    }
  }

  @Test func `the white space around a payload is not part of it, that inside is`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.post("/tasks", "{\"type\":\"resize\",\"payload\":\n\t { \"a\" : 1 }  \n}")
      #expect(try reply.raw("payload") == #"{ "a" : 1 }"#)
    }
  }

  @Test func `a payload of exactly the limit is taken, one byte more is 413`() async throws {
    try await HTTPHarness.run { harness in
      let limit = 256 * 1024
      func body(_ length: Int) -> String {
        #"{"type":"resize","payload":"\#(String(repeating: "x", count: length - 2))"}"#
      }
      let largest = try await harness.post("/tasks", body(limit))
      #expect(largest.status == 201)
      #expect(try largest.raw("payload").utf8.count == limit)
      let reply = try await harness.post("/tasks", body(limit + 1))
      try reply.expectProblem(413, "payload-too-large")
      #expect(try reply.pointers == ["/payload"])
    }
  }

  @Test func `payloads of a batch that are too large are 413, and 422 beside other faults`() async throws {
    try await HTTPHarness.run { harness in
      let large = #""payload":"\#(String(repeating: "x", count: 300_000))""#
      let two = try await harness.post(
        "/tasks/batch", #"{"tasks":[{"type":"a",\#(large)},{"type":"a"},{"type":"a",\#(large)}]}"#)
      try two.expectProblem(413, "payload-too-large")
      #expect(try two.pointers == ["/tasks/0/payload", "/tasks/2/payload"])
      for other in [#"{"type":"a","priority":0}"#, #"{"type":"a","dependencies":["x"]}"#] {
        let reply = try await harness.post("/tasks/batch", #"{"tasks":[{"type":"a",\#(large)},\#(other)]}"#)
        try reply.expectProblem(422, "invalid")
        #expect(try reply.pointers.count == 2)
      }
    }
  }

  @Test func `a payload that is too large beside other faults is one of them`() async throws {
    try await HTTPHarness.run { harness in
      let payload = String(repeating: "x", count: 300_000)
      let reply = try await harness.post("/tasks", #"{"type":"resize","priority":0,"payload":"\#(payload)"}"#)
      try reply.expectProblem(422, "invalid")
      #expect(try Set(reply.pointers) == ["/payload", "/priority"])
    }
  }

  @Test func `JSON nested 64 deep is taken, deeper is 422 and costs nothing`() async throws {
    try await HTTPHarness.run { harness in
      func body(_ depth: Int) -> String {
        let open = String(repeating: "[", count: depth - 1)
        let close = String(repeating: "]", count: depth - 1)
        return #"{"type":"resize","payload":\#(open)\#(close)}"#
      }
      #expect(try await harness.post("/tasks", body(64)).status == 201)
      try await harness.post("/tasks", body(65)).expectProblem(422, "invalid")
      try await harness.post("/tasks", body(511)).expectProblem(422, "invalid")
      try await harness.post("/tasks", String(repeating: "[", count: 1_000_000)).expectProblem(422, "invalid")
    }
  }

  @Test func `a result comes back byte for byte, a failure as data`() async throws {
    try await HTTPHarness.run { harness in
      let result = #"{ "a":1e400, "a":"\u0000" }"#
      let done = try await harness.submitted()
      try await harness.attempt(done, .success(result: Array(result.utf8)))
      let reply = try await harness.get("/tasks/\(done)")
      #expect(try reply.raw("result") == result)
      #expect(try reply.string("status") == "SUCCESS")
      #expect(try reply.isNull("lastError"))
      #expect(try reply.string("worker") == "worker-1")

      let dead = try await harness.submitted(#"{"type":"resize","retries":0}"#)
      let error = TaskError(type: "HTTP_503", message: "no \"room\"\u{0}\n", stack: "a\nb")
      try await harness.attempt(dead, .failed(error, .retry))
      let read = try await harness.get("/tasks/\(dead)")
      #expect(try read.string("status") == "DEAD")
      #expect(try read.string("reason") == "RETRIES_EXHAUSTED")
      let lastError = try #require(try read.object["lastError"] as? [String: String])
      #expect(lastError == ["type": "HTTP_503", "message": "no \"room\"\u{0}\n", "stack": "a\nb"])
    }
  }
}
