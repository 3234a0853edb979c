// What the command line takes and what it refuses, before any server is asked.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore
internal import Testing

@testable internal import MartletCommand

@Suite("Arguments")
struct ArgumentTests {
  @Test("every option of submit reaches the task")
  func submit() throws {
    let command = try SubmitCommand.parse([
      "resize", "--payload", #" {"a": 1.0} "#, "--queue", "images", "--priority", "9", "--delay", "1m30s",
      "--retries", "0", "--timeout", "2.5", "--expires-at", "2030-01-01T01:00:00+01:00", "--tag", "a", "--tag", "b",
      "--metadata", "k=v=w", "--metadata", "e=",
    ])
    let task = try command.task()
    #expect(task.type == "resize")
    #expect(task.payload == Array(#"{"a": 1.0}"#.utf8))
    #expect(task.queue == "images")
    #expect(task.priority == 9)
    #expect(task.delaySeconds == 90)
    #expect(task.retries == 0)
    #expect(task.timeoutSeconds == 2.5)
    #expect(task.expiresAt == Timestamp("2030-01-01T00:00:00Z"))
    #expect(task.tags == ["a", "b"])
    #expect(task.metadata == ["k": "v=w", "e": ""])
  }

  @Test("submit leaves to the server's defaults what was not given")
  func defaults() throws {
    #expect(try SubmitCommand.parse(["resize"]).task() == NewTask(type: "resize"))
  }

  @Test(
    "values out of range are told by the option's name",
    arguments: [
      (["a b"], "the type must be 1–128 characters of A-Z a-z 0-9 . _ : -"),
      (["t", "--priority", "12"], "--priority must be from 1 to 9"),
      (["t", "--retries", "101"], "--retries must be from 0 to 100"),
      (["t", "--delay", "1", "--run-at", "2030-01-01T00:00:00Z"], "--delay cannot be given together with --run-at"),
      (["t", "--timeout", "8d"], "--timeout must be from 0.001 to 604800"),
      (["t", "--tag", ""], "--tag must be 1 to 64 characters long"),
      (["t", "--metadata", "k=1", "--metadata", "k=2"], "--metadata gives 'k' twice"),
      (["t", "--payload", "{\"a\":\n nope}"], "--payload is not JSON: expected null, at byte 8 (line 2, column 3)"),
      (
        ["t", "--payload", "@/no/such/file"], "cannot read the payload from '/no/such/file': no such file or directory"
      ),
      (["t", "--payload", "@/"], "cannot read the payload from '/': is a directory"),
    ])
  func refusedValues(arguments: [String], message: String) throws {
    let command = try SubmitCommand.parse(arguments)
    let failure = #expect(throws: CommandFailure.self) { _ = try command.task() }
    #expect(failure?.message == message)
    #expect(failure?.status == .usage)
  }

  @Test(
    "lengths of time take units",
    arguments: [
      ("90", 90), ("1.5", 1.5), ("500ms", 0.5), ("90s", 90), ("5m", 300), ("1h30m", 5400),
      ("2d", 172_800), ("0", 0),
    ])
  func seconds(text: String, value: Double) throws {
    #expect(try Values.seconds(text) == value)
  }

  @Test(
    "what is no length of time is refused",
    arguments: ["", "x", "-1", "5 m", "5x", "m", "nan", "inf", "1e9", "0x10", "1..2s"])
  func badSeconds(text: String) {
    #expect(throws: ValidationError.self) { try Values.seconds(text) }
  }

  @Test("statuses are a comma list in either case, other systems' words included")
  func statuses() throws {
    #expect(try Values.statuses("ready,DEAD_LETTER,Failed") == [.ready, .dead])
    #expect(throws: ValidationError.self) { try Values.statuses("READY,ASLEEP") }
  }

  @Test("a list's options make its filter")
  func filter() throws {
    let command = try TasksCommand.List.parse([
      "--status", "dead", "--type", "a,b", "--queue", "q", "--metadata", "k=v",
      "--created-after", "2026-02-01T10:00:00Z",
    ])
    let filter = try command.filter.filter(statuses: command.status)
    #expect(filter.statuses == [.dead])
    #expect(filter.types == ["a", "b"])
    #expect(filter.queues == ["q"])
    #expect(filter.metadata == ["k": "v"])
    #expect(filter.createdAfter == Timestamp("2026-02-01T10:00:00Z"))
    #expect(throws: (any Error).self) { try TasksCommand.List.parse(["--limit", "0"]) }
  }

  @Test("the option wins over the environment, a key over a token, and empty variables are none")
  func server() throws {
    let none = try ServerOptions.parse([])
    #expect(none.resolved([:]).server == "http://127.0.0.1:8080")
    #expect(none.resolved(["MARTLET_SERVER": ""]).server == "http://127.0.0.1:8080")
    #expect(none.resolved(["MARTLET_SERVER": "http://a"]).server == "http://a")
    let given = try ServerOptions.parse(["--server", "http://b"])
    #expect(given.resolved(["MARTLET_SERVER": "http://a"]).server == "http://b")
    #expect(none.resolved(["MARTLET_API_KEY": "k", "MARTLET_TOKEN": "t"]).credential == .apiKey("k"))
    #expect(none.resolved(["MARTLET_API_KEY": "", "MARTLET_TOKEN": "t"]).credential == .token("t"))
    #expect(none.resolved([:]).credential == .none)
  }

  @Test("the demo submits one task of each built-in type, all of them valid")
  func demo() throws {
    let tasks = try DemoCommand.tasks(server: "http://127.0.0.1:8080")
    #expect(tasks.map(\.type) == ["DELAYED_MESSAGE", "SEND_EMAIL", "FAIL_SOMETIMES", "WEBHOOK_CALL"])
    #expect(tasks.last?.payload == Array(#"{"method":"GET","url":"http://127.0.0.1:8080/health/live"}"#.utf8))
    for task in tasks {
      _ = try task.accepted(id: Fixtures.id, defaults: TaskDefaults(), now: .earliest)
    }
  }
}
