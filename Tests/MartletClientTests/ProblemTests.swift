// How a refusal is told.

internal import MartletClient
internal import ScriptedServer
internal import Testing

@Suite("Problems")
struct ProblemTests {
  @Test("every part of a problem document is read")
  func document() async throws {
    let json = """
      {"type":"urn:martlet:problem:invalid","title":"The request is not valid","status":422,"detail":"/a is required",
      "code":"invalid","requestId":"r-1","retryable":false,
      "errors":[{"pointer":"/a","detail":"is required"},{"pointer":"","detail":"is odd"}]}
      """
    let problem = try await refusal { .problem(422, json, headers: ["retry-after": "7"]) }
    #expect(problem.status == 422)
    #expect(problem.code == "invalid")
    #expect(problem.detail == "/a is required")
    #expect(problem.requestID == "r-1")
    #expect(!problem.isRetryable)
    #expect(problem.retryAfter == .seconds(7))
    #expect(problem.errors.map(\.pointer) == ["/a", ""])
    #expect(problem.description == "The request is not valid: /a is required; is odd")
  }

  @Test("an error that is no problem document keeps its status", arguments: ["", "<html>", "[1]", #"{"detail":7}"#])
  func bareStatus(body: String) async throws {
    let problem = try await refusal { .body(404, Array(body.utf8), headers: ["x-request-id": "r-2"]) }
    #expect(problem.status == 404)
    #expect(problem.code == nil)
    #expect(problem.requestID == "r-2")
    #expect(problem.description == "the server answered 404 without saying why")
  }

  @Test("an unknown outcome carries the task's id")
  func unknownOutcome() async throws {
    let json = #"{"status":503,"code":"store-unavailable","outcome":"unknown","taskId":"\#(Fixtures.id)"}"#
    let problem = try await refusal { .problem(503, json, headers: ["retry-after": "1"]) }
    #expect(problem.outcomeIsUnknown)
    #expect(problem.taskID == Fixtures.id)
    #expect(problem.taskIDs == [Fixtures.id])
  }

  @Test("an unknown outcome of many tasks carries all ids, one of none carries none")
  func unknownOutcomes() async throws {
    let other = try #require(TaskID("0190a7c4-5e1b-7cc3-98c4-dc0c0c073990"))
    let many = try await refusal {
      .problem(503, #"{"outcome":"unknown","taskId":"\#(Fixtures.id)","taskIds":["\#(Fixtures.id)","\#(other)"]}"#)
    }
    #expect(many.taskIDs == [Fixtures.id, other] && many.taskID == Fixtures.id)
    let none = try await refusal { .problem(503, #"{"outcome":"unknown","retryable":false}"#) }
    #expect(none.outcomeIsUnknown && none.taskIDs.isEmpty && none.taskID == nil && !none.isRetryable)
  }

  private func refusal(_ answer: @escaping @Sendable () -> ScriptedAnswer) async throws -> Problem {
    var found: Problem?
    try await withClient(script: { _, _ in answer() }) { client, server in
      do {
        _ = try await client.submit(NewTask(type: "resize"))
      } catch MartletClientError.problem(let problem) {
        found = problem
      }
      #expect(server.requests.count == 1)
    }
    return try #require(found)
  }
}
