// The program as a whole: exit codes, what goes to which output, and what it asks of the server.

internal import Foundation
internal import MartletCore
internal import ScriptedServer
internal import Testing

@Suite("The program")
struct ProgramTests {
  private let id = Fixtures.id.description

  @Test("a server that cannot be reached is exit code 3 and one line")
  func unreachable() async throws {
    let address = "http://127.0.0.1:1"
    for arguments in [["tasks", "list"], ["submit", "resize"], ["tasks", "follow", id], ["stats"], ["demo"]] {
      let run = try await Program.run(arguments, server: address)
      #expect(run.status == 3)
      #expect(run.output == "")
      #expect(run.errors == "martlet: cannot reach the server at \(address): connection refused\n")
    }
  }

  @Test(
    "each refusal has its exit code and one line",
    arguments: [
      (404, "not-found", Int32(4)), (401, "unauthenticated", 5), (403, "forbidden", 5), (409, "invalid-state", 1),
      (500, "internal", 1),
    ])
  func refusals(status: Int, code: String, exit: Int32) async throws {
    let json = #"{"status":\#(status),"code":"\#(code)","detail":"because"}"#
    let (run, _) = try await Program.run(["tasks", "cancel", id]) { _, _ in .problem(status, json) }
    #expect(run.status == exit)
    #expect(run.output == "")
    #expect(run.errorLines.count == 1)
    #expect(run.errors.hasPrefix("martlet: because"))
  }

  @Test("the errors of a 422 stand one on a line, exit code 2")
  func validation() async throws {
    let json = """
      {"status":422,"code":"invalid","title":"The request is not valid","detail":"x",
      "errors":[{"pointer":"/payload/to","detail":"is required"},{"pointer":"/payload/subject","detail":"is required"}]}
      """
    let (run, _) = try await Program.run(["submit", "SEND_EMAIL"]) { _, _ in .problem(422, json) }
    #expect(run.status == 2)
    #expect(
      run.errors == """
        martlet: The request is not valid
          /payload/to is required
          /payload/subject is required

        """)
  }

  @Test(
    "wrong usage is exit code 2 and one line, before any server is asked",
    arguments: [
      ["submit"], ["submit", "resize", "--priority", "12"], ["submit", "resize", "--priority", "high"],
      ["submit", "resize", "--payload", "{nope"], ["submit", "resize", "--payload", "@/no/such/file"],
      ["submit", "resize", "--run-at", "tomorrow"], ["submit", "resize", "--delay", "soon"],
      ["submit", "resize", "--nope"],
      ["tasks", "show", "7"], ["tasks", "list", "--status", "ASLEEP"], ["tasks", "list", "--limit", "0"], ["nope"],
      ["tasks", "nope"], ["tasks", "list", "--server", "localhost:8080"],
    ])
  func usage(arguments: [String]) async throws {
    let (run, requests) = try await Program.run(arguments) { _, _ in .json(200, "{}") }
    #expect(run.status == 2)
    #expect(run.output == "")
    #expect(run.errorLines.count == 1)
    #expect(run.errors.hasPrefix("martlet: "))
    #expect(requests.isEmpty)
  }

  @Test("help and the version go to the output, exit code 0")
  func help() async throws {
    for arguments in [["--help"], ["help", "submit"], ["tasks", "--help"], ["submit", "--help"]] {
      let run = try await Program.run(arguments, server: "http://127.0.0.1:1")
      #expect(run.status == 0)
      #expect(run.output.contains("USAGE: martlet"))
      #expect(run.errors == "")
    }
  }

  @Test("the credentials of the environment are sent")
  func credentials() async throws {
    let (run, requests) = try await Program.run(["workers"], environment: ["MARTLET_API_KEY": "mk_1"]) { _, _ in
      .json(200, Fixtures.list([]))
    }
    #expect(run.status == 0)
    #expect(run.output == "no live workers\n")
    #expect(requests.first?.headers["x-api-key"] == "mk_1")
  }

  @Test("submit prints the id, and warns on stderr where no live worker handles the type")
  func submit() async throws {
    let worker = """
      {"id":"w","host":"h","kind":"node","types":["other"],"queues":[],"running":0,
      "lastSeenAt":"2026-02-01T10:00:00.000Z"}
      """
    let (run, requests) = try await Program.run(["submit", "resize", "--payload", "-"], input: " [1, 2.50]\n") {
      request, _ in
      request.path == "/workers" ? .json(200, Fixtures.list([worker])) : .json(201, Fixtures.taskJSON())
    }
    #expect(run.status == 0)
    #expect(run.output == "\(id)\n")
    #expect(
      run.errors
        == "martlet: warning: no live worker handles the type 'resize'; the task waits for one\n")
    #expect(requests.first?.text == #"{"type":"resize","payload":[1, 2.50]}"#)
  }

  @Test(
    "submit warns where no worker that handles the type looks into the queue",
    arguments: [
      (["default"], true), (["mail"], false), (["*"], false), (["other", "ma*"], false), ([], false),
    ])
  func submitToQueue(queues: [String], warns: Bool) async throws {
    let names = queues.map { "\"\($0)\"" }.joined(separator: ",")
    let workers = [
      #"{"id":"w","types":["resize"],"queues":[\#(names)],"lastSeenAt":"2026-02-01T10:00:00.000Z"}"#,
      #"{"id":"v","types":["other"],"queues":["*"],"lastSeenAt":"2026-02-01T10:00:00.000Z"}"#,
    ]
    // The queue is the server's word: it may come from the type's defaults.
    let task = Fixtures.taskJSON().replacing(#""queue":"default""#, with: #""queue":"mail""#)
    let (run, _) = try await Program.run(["submit", "resize"]) { request, _ in
      request.path == "/workers" ? .json(200, Fixtures.list(workers)) : .json(201, task)
    }
    #expect(run.status == 0)
    let warning =
      "martlet: warning: no live worker that handles the type 'resize' looks into the queue 'mail'; the task waits for one\n"
    #expect(run.errors == (warns ? warning : ""))
  }

  @Test("submit with a key is sent again after a broken connection, without one it is not", arguments: [true, false])
  func brokenSubmit(hasKey: Bool) async throws {
    let (run, requests) = try await Program.run(["submit", "resize"] + (hasKey ? ["--key", "k"] : [])) {
      request, number in
      if number == 0 { return .hangUp }
      return request.path == "/workers" ? .problem(403, "{}") : .json(200, Fixtures.taskJSON())
    }
    let submissions = requests.filter { $0.path == "/tasks" }
    #expect(run.status == (hasKey ? 0 : 3), "\(run.errors)")
    #expect(submissions.count == (hasKey ? 2 : 1) && Set(submissions.map(\.body)).count == 1)
    #expect(run.output == (hasKey ? "\(id)\n" : ""))
  }

  @Test("what the server finds wrong with a submission is told by the options' names, a payload's by its place")
  func serversProblems() async throws {
    let fields = [
      "/dependencies/0", "/onDependencyFailure", "/idempotencyKey", "/backoff/maxSeconds", "/metadata/k",
      "/leaseSeconds",
      "/availableAt", "/payload/to", "/new", "",
    ]
    let errors = fields.map { #"{"pointer":"\#($0)","detail":"is odd"}"# }.joined(separator: ",")
    let json = #"{"status":422,"code":"invalid","title":"The request is not valid","errors":[\#(errors)]}"#
    let (run, _) = try await Program.run(["submit", "resize"]) { _, _ in .problem(422, json) }
    #expect(run.status == 2)
    #expect(
      run.errors == """
        martlet: The request is not valid
          --after: is odd
          --on-dependency-failure is odd
          --key is odd
          --backoff max is odd
          --metadata 'k' is odd
          --lease is odd
          --available-at is odd
          /payload/to is odd
          /new is odd
          is odd

        """)
  }

  @Test("submit says nothing of workers that it may not see")
  func submitWithoutWorkers() async throws {
    let (run, _) = try await Program.run(["submit", "resize"]) { request, _ in
      request.path == "/workers" ? .problem(403, "{}") : .json(201, Fixtures.taskJSON())
    }
    #expect(run.status == 0)
    #expect(run.errors == "")
  }

  @Test("submit --wait follows the task and exits 0 only on SUCCESS", arguments: [("SUCCESS", Int32(0)), ("DEAD", 1)])
  func submitAndWait(end: String, exit: Int32) async throws {
    let (run, requests) = try await Program.run(["submit", "resize", "--wait"]) { request, _ in
      Self.life(request, endsAs: end)
    }
    #expect(run.status == exit)
    let lines = run.output.split(separator: "\n")
    #expect(lines.first == "\(id)")
    #expect(lines.contains("2026-02-01T10:00:03.000Z  started   attempt 1 on node-1"))
    #expect(lines.contains("    | info: working"))
    #expect(lines.contains("\(end) after 1 attempt"))
    #expect(run.errors == "")
    #expect(requests.contains { $0.target.contains("?waitSeconds=") })
  }

  @Test("tasks follow --json prints one document, the final task")
  func followJSON() async throws {
    let json = Fixtures.taskJSON(status: "DEAD", attempt: 1)
    let (run, _) = try await Program.run(["tasks", "follow", id, "--json"]) { _, _ in .json(200, json) }
    #expect(run.status == 1)
    #expect(run.output == json + "\n")
    #expect(run.errors == "")
  }

  @Test("--json passes through what the server said")
  func json() async throws {
    let strange = #"{"data": [ ] , "nextCursor":null, "new":"\u001b é"}"#
    for arguments in [["tasks", "list"], ["dead-letters", "list"], ["queues", "list"], ["workers"]] {
      let (run, _) = try await Program.run(arguments + ["--json"]) { _, _ in .json(200, strange) }
      #expect(run.status == 0)
      #expect(run.output == strange + "\n")
    }
    let task = Fixtures.taskJSON(status: "SUCCESS", #", "new": 1.50"#)
    for arguments in [["tasks", "show", id], ["tasks", "retry", id], ["tasks", "replay", id], ["submit", "resize"]] {
      let (run, _) = try await Program.run(arguments + ["--json"]) { _, _ in .json(200, task) }
      #expect(run.output == task + "\n")
    }
  }

  @Test("a list over several pages is one document and stops at the limit")
  func pages() async throws {
    let (run, requests) = try await Program.run(["tasks", "list", "--json", "--limit", "3"]) { _, number in
      let tasks = Array(repeating: Fixtures.taskJSON(), count: number == 0 ? 2 : 1).joined(separator: ",")
      return .json(200, #"{"data":[\#(tasks)],"nextCursor":"c\#(number)"}"#)
    }
    #expect(run.status == 0)
    let one = Fixtures.taskJSON()
    #expect(run.output == #"{"data":[\#(one),\#(one),\#(one)],"nextCursor":"c1"}"# + "\n")
    #expect(requests.map(\.target) == ["/tasks?limit=3", "/tasks?limit=1&cursor=c0"])
  }

  @Test("hostile text in a task cannot drive the terminal")
  func hostile() async throws {
    let task = Fixtures.taskJSON(
      status: "DEAD", attempt: 1, type: #"a\u001b[2J"#,
      #","worker":"\u009b1m","lastError":{"type":"\u0007","message":"x\ny\u202e"},"tags":["\u001b]0;t\u0007"]"#)
    let attempt = Fixtures.attempt(
      1, "FAILED", error: #"{"type":"E","message":"\u001b[1A","stack":"s\u001b[1A"}"#, logs: #"["\u001b[1Alog"]"#)
    let event = Fixtures.event(1, "received", #"\u001b[5m"#, cause: #"\u001b[6m"#)
    for arguments in [["tasks", "list"], ["tasks", "show", id], ["tasks", "follow", id]] {
      let (run, _) = try await Program.run(arguments) { request, _ in
        if request.path.hasSuffix("/attempts") { return .json(200, Fixtures.list([attempt])) }
        if request.path.hasSuffix("/events") { return .json(200, Fixtures.list([event])) }
        return .json(200, request.path == "/tasks" ? Fixtures.list([task]) : task)
      }
      let unfit = run.output.unicodeScalars.filter { scalar in
        scalar != "\n" && (scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || scalar.value == 0x202E)
      }
      #expect(unfit.isEmpty)
      #expect(run.output.contains("\\u{1b}"))
    }
  }

  @Test("cancel says what became of the task")
  func cancel() async throws {
    for (status, more, words) in [("CANCELLED", "", "CANCELLED"), ("RUNNING", "", "RUNNING, cancel requested")] {
      let (run, requests) = try await Program.run(["tasks", "cancel", id]) { _, _ in
        .json(200, Fixtures.taskJSON(status: status, more))
      }
      #expect(run.output == "\(id) \(words)\n")
      #expect(requests.map { "\($0.method) \($0.target)" } == ["POST /tasks/\(id)/cancel"])
    }
  }

  @Test("the version is told with or without a server")
  func version() async throws {
    let (run, _) = try await Program.run(["version"]) { _, _ in .json(200, #"{"version":"9.9.9"}"#) }
    #expect(run.status == 0)
    #expect(run.output.contains("version 9.9.9"))
    let alone = try await Program.run(["version", "--json"], server: "http://127.0.0.1:1")
    #expect(alone.status == 0)
    #expect(alone.output.contains(#""server":null"#))
  }

  @Test("an answer that is no Martlet's is one line, exit code 1")
  func garbage() async throws {
    let (run, _) = try await Program.run(["stats"]) { _, _ in .body(200, Array("<html>".utf8), headers: [:]) }
    #expect(run.status == 1)
    #expect(run.errorLines.count == 1)
    #expect(run.errors.hasSuffix("is it a Martlet server?\n"))
  }

  @Test("a reader that has seen enough ends the program quietly")
  func closedPipe() async throws {
    let task = Fixtures.taskJSON(#","new":"\#(String(repeating: "x", count: 200_000))""#)
    try await ScriptedServer.serving({ _, _ in .json(200, task) }) { server in
      let pipe = Pipe()
      try pipe.fileHandleForReading.close()
      let run = try await Program.run(
        ["tasks", "show", id, "--json"], server: server.address, output: pipe.fileHandleForWriting)
      #expect(run.status == 0)
      #expect(run.errors == "")
    }
  }

  /// RUNNING at the first look, at its end from the second on.
  private static func life(_ request: ScriptedRequest, endsAs end: String) -> ScriptedAnswer {
    let outcome = end == "SUCCESS" ? "SUCCESS" : "FAILED"
    switch (request.method, request.path.split(separator: "/").last) {
    case ("POST", _): return .json(201, Fixtures.taskJSON())
    case (_, "workers"):
      return .json(
        200,
        Fixtures.list([
          #"{"id":"w","types":["resize"],"lastSeenAt":"2026-02-01T10:00:00.000Z"}"#
        ]))
    case (_, "attempts"): return .json(200, Fixtures.list([Fixtures.attempt(1, outcome, logs: #"["info: working"]"#)]))
    case (_, "events"):
      return .json(
        200,
        Fixtures.list([
          Fixtures.event(1, "received"), Fixtures.event(2, "ready"), Fixtures.event(3, "started", "node-1"),
          Fixtures.event(4, end == "SUCCESS" ? "succeeded" : "failed", "node-1"),
        ]))
    default:
      let isOver = request.target.contains("waitSeconds")
      return .json(200, Fixtures.taskJSON(status: isOver ? end : "RUNNING", attempt: 1))
    }
  }
}
