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
      "--metadata", "k=v=w", "--metadata", "e=", "--key", "order-42", "--concurrency-key", "customer 7",
      "--after", Fixtures.id.description, "--on-dependency-failure", "cancel", "--lease", "1m", "--backoff",
      "fixed:base=3s",
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
    #expect(task.idempotencyKey == "order-42")
    #expect(task.concurrencyKey == "customer 7")
    #expect(task.dependencies == [Fixtures.id.description])
    #expect(task.onDependencyFailure == .cancel)
    #expect(task.leaseSeconds == 60)
    #expect((task.backoff?.strategy, task.backoff?.baseSeconds) == (.fixed, 3))
    let timed = try SubmitCommand.parse(["t", "--available-at", "2030-01-01T00:00:00Z"]).task()
    #expect((timed.availableAt, timed.runAt) == (Timestamp("2030-01-01T00:00:00Z"), nil))
  }

  @Test("limits are numbers or none")
  func limits() throws {
    let command = try QueuesCommand.Set.parse(["q", "--concurrency", "5", "--rate", "0.5", "--burst", "none"])
    #expect(command.concurrency == .value(5))
    #expect(command.rate == .value(0.5))
    #expect(command.burst == .unlimited)
    #expect(command.maxDepth == nil)
    for wrong in [["q"], ["q", "--concurrency", "many"], ["q", "--rate", "nan"], ["", "--burst", "1"]] {
      #expect(throws: (any Error).self) { try QueuesCommand.Set.parse(wrong) }
    }
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
      (
        ["t", "--delay", "1", "--run-at", "2030-01-01T00:00:00Z"],
        "--delay cannot be given together with --run-at or --available-at"
      ),
      (
        ["t", "--run-at", "2030-01-01T00:00:00Z", "--available-at", "2031-01-01T00:00:00Z"],
        "--available-at differs from --run-at; give one of them, or the same time twice"
      ),
      (["t", "--lease", "2h"], "--lease must be from 1 to 3600"),
      (
        ["t", "--backoff", "factor=0.5,jitter=2"],
        "--backoff factor must be from 1 to 1000; --backoff jitter must be from 0 to 1"
      ),
      (["t", "--metadata", "k=\u{1}"], "--metadata 'k' must not contain control characters"),
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

  @Test(
    "a backoff is a strategy, parts, or both, and is written as it is read",
    arguments: [
      ("fixed", "fixed"), ("Linear:base=500ms", "linear:base=0.5s"), ("max=1h", "max=3600s"),
      ("exponential:jitter=0.2,max=1m30s,factor=1.5,base=2", "exponential:base=2s,max=90s,factor=1.5,jitter=0.2"),
    ])
  func backoff(text: String, written: String) throws {
    let backoff = try Values.backoff(text)
    #expect(Format.backoff(backoff) == written)
    #expect(try Values.backoff(written) == backoff)
  }

  @Test(
    "what is no backoff is refused",
    arguments: [
      "", ":", "fixed:", "soon", "fixed:base", "fixed:base=", "fixed:base=soon", "fixed:base=1,base=2",
      "fixed:jitter=nan",
      "exponential:factor=inf", "exponential:factor=", "exponential:faktor=2", "exponential:base=1s,", "base=1s:fixed",
    ])
  func badBackoff(text: String) {
    #expect(throws: ValidationError.self) { try Values.backoff(text) }
  }

  @Test("options of a filter add up when they are repeated")
  func repeatedFilters() throws {
    let list = try TasksCommand.List.parse([
      "--type", "a", "--type", "b,c", "--queue", "p", "--queue", "q", "--status", "dead", "--status", "ready,retry",
    ])
    let filter = try list.filter.filter(statuses: list.status)
    #expect(filter.types == ["a", "b", "c"] && filter.queues == ["p", "q"])
    #expect(filter.statuses == [.dead, .ready, .retry])
    let cancel = try TasksCommand.Cancel.parse(["--status", "ready", "--status", "retry"])
    #expect(try cancel.filter.filter(statuses: cancel.status).statuses == [.ready, .retry])
  }

  @Test("a list's options make its filter")
  func filter() throws {
    let command = try TasksCommand.List.parse([
      "--status", "dead", "--type", "a,b", "--queue", "q", "--metadata", "k=v",
      "--created-after", "2026-02-01T10:00:00Z", "--graph", "01a1fde0-8971-7697-9727-7d7b8521e019", "--key", "o-1",
      "--schedule", "nightly",
    ])
    let filter = try command.filter.filter(statuses: command.status)
    #expect(filter.statuses == [.dead])
    #expect(filter.types == ["a", "b"])
    #expect(filter.queues == ["q"])
    #expect(filter.metadata == ["k": "v"])
    #expect(filter.graphID == TaskID("01a1fde0-8971-7697-9727-7d7b8521e019"))
    #expect((filter.idempotencyKey, filter.scheduleName) == ("o-1", "nightly"))
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
