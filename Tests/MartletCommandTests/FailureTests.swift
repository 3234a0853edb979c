// Which failure gives which exit code, and that each is told on clean lines.

internal import MartletClient
internal import MartletCore
internal import Testing

@testable internal import MartletCommand

@Suite("Failures")
struct FailureTests {
  @Test(
    "each status of a refusal has its exit code",
    arguments: [
      (400, 2), (401, 5), (403, 5), (404, 4), (405, 1), (409, 1), (413, 2), (415, 2), (422, 2),
      (429, 1), (500, 1), (503, 1),
    ])
  func problems(status: Int, code: Int32) {
    #expect(CommandFailure(.problem(Problem(status: status))).status.rawValue == code)
  }

  @Test("no connection and no answer are 3, nonsense is 1, a bad address is 2")
  func others() {
    #expect(CommandFailure(.unreachable(server: "s", reason: "r")).status == .unreachable)
    #expect(CommandFailure(.noAnswer(server: "s", reason: "r")).status == .unreachable)
    #expect(CommandFailure(.unexpectedAnswer(server: "s", reason: "r")).status == .failed)
    #expect(CommandFailure(.invalidRequest("r")).status == .usage)
  }

  @Test("the errors of a 422 stand one on a line")
  func validation() {
    var problem = Problem(status: 422)
    problem.code = "invalid"
    problem.title = "The request is not valid"
    problem.detail = "/payload/to is required"
    problem.errors = [
      ValidationProblem(pointer: "/payload/to", detail: "is required"),
      ValidationProblem(pointer: "", detail: "is odd"),
    ]
    #expect(
      CommandFailure(.problem(problem)).text == """
        martlet: The request is not valid
          /payload/to is required
          is odd
        """)
  }

  @Test("what a server says cannot drive the terminal or fake a second line")
  func hostile() {
    var problem = Problem(status: 500)
    problem.code = "internal"
    problem.detail = "\u{1B}[2J\nmartlet: all is well"
    problem.requestID = "r-1"
    #expect(
      CommandFailure(.problem(problem)).text == "martlet: \\u{1b}[2J\\nmartlet: all is well (request r-1)")
  }

  @Test("an unknown outcome names the task to look at")
  func unknownOutcome() {
    var problem = Problem(status: 409)
    problem.code = "x"
    problem.detail = "lost"
    problem.outcomeIsUnknown = true
    problem.taskIDs = [Fixtures.id]
    #expect(CommandFailure(.problem(problem)).message == "lost (martlet tasks show \(Fixtures.id))")
  }
}
