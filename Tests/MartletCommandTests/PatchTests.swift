// `martlet tasks patch` and `martlet types set`: what is sent of what is given, and what is taken away.

internal import MartletCore
internal import ScriptedServer
internal import Testing

@Suite("Changes")
struct PatchTests {
  private let id = Fixtures.id.description

  @Test("a task's changes are sent, and nothing besides")
  func patch() async throws {
    let cases: [([String], String)] = [
      (["--priority", "9"], #"{"priority":9}"#), (["--now"], #"{"availableAt":"1970-01-01T00:00:00.000Z"}"#),
      (["--available-at", "2030-01-01T01:00:00+01:00"], #"{"availableAt":"2030-01-01T00:00:00.000Z"}"#),
      (
        ["--tag", "a", "--tag", "b", "--metadata", "k=v=w", "--now", "--priority", "1"],
        #"{"priority":1,"availableAt":"1970-01-01T00:00:00.000Z","tags":["a","b"],"metadata":{"k":"v=w"}}"#
      ),
      (["--clear", "tags", "--clear", "metadata"], #"{"tags":[],"metadata":{}}"#),
    ]
    for (arguments, body) in cases {
      let (run, requests) = try await Program.run(["tasks", "patch", id] + arguments) { _, _ in
        .json(200, Fixtures.taskJSON(status: "PENDING"))
      }
      #expect((run.status, run.output, run.errors) == (0, "\(id) PENDING\n", ""))
      #expect(requests.map { "\($0.method) \($0.target) \($0.text)" } == ["PATCH /tasks/\(id) \(body)"])
    }
  }

  @Test(
    "changes that are none, or that contradict each other, are refused before the server is asked",
    arguments: [
      ([], "nothing to change"), (["--now", "--available-at", "2030-01-01T00:00:00Z"], "--now and --available-at"),
      (["--tag", "a", "--clear", "tags"], "--tag and --clear tags"),
      (["--metadata", "a=b", "--clear", "metadata"], "--metadata and --clear metadata"),
      (["--clear", "payload"], "--clear"), (["--priority", "12"], "--priority must be from 1 to 9"),
      (["--tag", ""], "--tag must be 1 to 64 characters long"),
      (["--metadata", "k=1", "--metadata", "k=2"], "--metadata"),
    ])
  func refused(arguments: [String], message: String) async throws {
    let (run, requests) = try await Program.run(["tasks", "patch", id] + arguments) { _, _ in
      .json(200, Fixtures.taskJSON())
    }
    #expect(run.status == 2 && run.errorLines.count == 1 && requests.isEmpty)
    #expect(run.errors.contains(message), "\(run.errors)")
  }

  @Test("a task that does not wait is a refusal of the server's")
  func invalidState() async throws {
    let (run, _) = try await Program.run(["tasks", "patch", id, "--now"]) { _, _ in
      .problem(409, #"{"code":"invalid-state","detail":"the task is RUNNING: it cannot be changed"}"#)
    }
    #expect((run.status, run.errors) == (1, "martlet: the task is RUNNING: it cannot be changed\n"))
  }

  private static let type = """
    {"name":"mail","paused":true,"workers":[],"counts":{},"defaults":{"queue":"q","priority":7,"retries":5,\
    "backoff":{"strategy":"fixed","baseSeconds":3},"timeoutSeconds":60,"leaseSeconds":20}}
    """

  @Test("a type's defaults are set and taken away one by one; what is not named stays, a pause too")
  func typeDefaults() async throws {
    let backoff = #""backoff":{"strategy":"fixed","baseSeconds":3}"#
    let cases: [([String], String)] = [
      (
        ["--backoff", "exponential:max=10m"],
        #"{"queue":"q","priority":7,"retries":5,"backoff":{"strategy":"exponential","maxSeconds":600},"#
          + #""timeoutSeconds":60,"leaseSeconds":20}"#
      ),
      (
        ["--clear", "retries", "--clear", "backoff", "--lease", "1m"],
        #"{"queue":"q","priority":7,"timeoutSeconds":60,"leaseSeconds":60}"#
      ),
      (
        ["--clear", "queue", "--clear", "priority", "--clear", "timeout", "--clear", "lease"],
        #"{"retries":5,\#(backoff)}"#
      ),
      (["--reset", "--retries", "1"], #"{"retries":1}"#), (["--reset"], "{}"),
    ]
    for (arguments, defaults) in cases {
      let (run, requests) = try await Program.run(["types", "set", "mail"] + arguments) { request, _ in
        .json(200, request.method == "GET" ? Fixtures.list([Self.type]) : Self.type)
      }
      #expect(run.status == 0, "\(run.errors)")
      #expect(requests.last?.text == #"{"defaults":\#(defaults),"paused":true}"#)
      #expect(run.output.contains("backoff fixed:base=3s"))
    }
  }

  @Test(
    "nothing to set, or a default set and taken away at once, is wrong usage",
    arguments: [[], ["--clear", "retries", "--retries", "3"], ["--clear", "nope"], ["--backoff", "nope"]])
  func typeUsage(arguments: [String]) async throws {
    let (run, requests) = try await Program.run(["types", "set", "mail"] + arguments) { _, _ in .json(200, Self.type) }
    #expect(run.status == 2 && run.errorLines.count == 1 && requests.isEmpty, "\(run.errors)")
  }
}
