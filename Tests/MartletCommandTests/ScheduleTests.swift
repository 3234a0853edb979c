// `martlet schedules …`: what it asks of the server, what it shows, and what it refuses by itself.

internal import ArgumentParser
internal import Foundation
internal import MartletCore
internal import ScriptedServer
internal import Testing

@testable internal import MartletClient
@testable internal import MartletCommand

@Suite("Schedules on the command line")
struct ScheduleTests {
  private static func schedule(_ more: String = #""paused":false"#) -> String {
    """
    {"name":"nightly","cron":"30 2 * * *","everySeconds":null,"timeZone":"Europe/Berlin",\
    "task":{"type":"report","payload":{"a":1},"tags":["old"]},"misfire":"SKIP","overlap":"ALLOW",\
    "createdAt":"2026-02-01T10:00:00.000Z","updatedAt":"2026-02-01T10:00:00.000Z","lastRunAt":null,"lastTaskId":null,\
    "nextRunAt":"2026-03-28T01:30:00.000Z",\
    "nextRuns":["2026-03-28T01:30:00.000Z","2026-03-29T01:00:00.000Z"],"lastError":null,\(more)}
    """
  }

  private static func read(_ json: String) throws -> RemoteSchedule {
    try RemoteSchedule(Fixtures.answer(json))
  }

  @Test("a schedule is shown with its next runs in UTC and by the clocks of its zone")
  func sheet() throws {
    let text = ScheduleSheet.rendered(try Self.read(Self.schedule()), zones: .system, for: .plain)
    #expect(
      text == """
        name          nightly
        state         active
        when          30 2 * * *, Europe/Berlin
        misfire       SKIP
        overlap       ALLOW
        task          {"type":"report","payload":{"a":1},"tags":["old"]}
        created       2026-02-01T10:00:00.000Z

        Next runs
          2026-03-28T01:30:00.000Z  2026-03-28T02:30:00+01:00
          2026-03-29T01:00:00.000Z  2026-03-29T03:00:00+02:00
        """)
    let without = ScheduleSheet.rendered(
      try Self.read(Self.schedule()), zones: ZoneDatabase(directories: []), for: .plain)
    #expect(without.hasSuffix("\n  2026-03-29T01:00:00.000Z"))
  }

  @Test("what the server refuses is told by the options", arguments: ["create", "update"])
  func refused(verb: String) async throws {
    let type = verb == "create" ? ["email"] : []
    let (run, _) = try await Program.run(["schedules", verb, "nightly"] + type + ["--cron", "61 * * * *"]) {
      request, _ in
      if request.method == "GET" { return .json(200, Self.schedule()) }
      return .problem(
        422,
        #"{"status":422,"code":"invalid","title":"The request is not valid","detail":"x","errors":[{"pointer":"/cron","detail":"is none"},{"pointer":"/timeZone","detail":"is nowhere"},{"pointer":"/task/priority","detail":"is odd"},{"pointer":"/task/payload/to","detail":"is required"}]}"#
      )
    }
    #expect(run.status != 0)
    for words in ["--cron is none", "--time-zone is nowhere", "--priority is odd", "/payload/to is required"] {
      #expect(run.errors.contains(words), "\(run.errors)")
    }
    #expect(!run.errors.contains("/cron") && !run.errors.contains("/task"))
  }

  @Test("a list tells when, what and how it goes")
  func table() throws {
    let failing = Self.schedule(#""paused":false"#).replacing(
      #""lastError":null"#, with: #""lastError":{"type":"INVALID_TASK","message":"no"}"#)
    let schedules = [
      try Self.read(Self.schedule()), try Self.read(Self.schedule(#""paused":true"#)), try Self.read(failing),
    ]
    let lines = ScheduleSheet.table(schedules, for: .plain).split(separator: "\n")
    #expect(lines[0].split(separator: " ").joined(separator: " ") == "NAME WHEN ZONE TYPE NEXT RUN LAST RUN STATE")
    #expect(
      lines[1].split(separator: " ").joined(separator: " ")
        == "nightly 30 2 * * * Europe/Berlin report 2026-03-28T01:30:00.000Z - active")
    #expect(lines[2].hasSuffix("paused"))
    #expect(lines[3].hasSuffix("failing"))
  }

  @Test("every option of create reaches the definition")
  func create() throws {
    let command = try SchedulesCommand.Create.parse([
      "nightly", "report", "--cron", "30 2 * * *", "--time-zone", "Europe/Berlin", "--misfire", "fire-once",
      "--overlap",
      "SKIP", "--paused", "--payload", #"{"a": 1.0}"#, "--queue", "q", "--priority", "9", "--retries", "0", "--timeout",
      "1m", "--tag", "a", "--metadata", "k=v",
    ])
    var task = NewTask(type: "report", payload: Array(#"{"a": 1.0}"#.utf8))
    (task.queue, task.priority, task.retries, task.timeoutSeconds) = ("q", 9, 0, 60)
    (task.tags, task.metadata) = (["a"], ["k": "v"])
    var definition = ScheduleDefinition(
      name: "nightly", .cron("30 2 * * *", timeZone: "Europe/Berlin"), task: task)
    (definition.misfire, definition.overlap, definition.paused) = (.fireOnce, .skip, true)
    #expect(try command.definition() == definition)
    let every = try SchedulesCommand.Create.parse(["n", "t", "--every", "1h30m"])
    #expect(try every.definition() == ScheduleDefinition(name: "n", .every(seconds: 5400), task: NewTask(type: "t")))
  }

  @Test(
    "wrong usage is exit code 2 and one line, before any server is asked",
    arguments: [
      ["create", "n", "t"], ["create", "n", "t", "--cron", "@daily", "--every", "1h"],
      ["create", "n", "t", "--every", "1h", "--time-zone", "UTC"], ["create", "a b", "t", "--every", "1h"],
      ["create", "n", "t", "--every", "soon"], ["create", "n", "t", "--every", "1h", "--misfire", "never"],
      ["create", "n", "t", "--every", "1h", "--overlap", "no"], ["show", "n", "--next", "101"], ["show"],
      ["update", "n", "--payload", "{nope"], ["nope"],
    ])
  func usage(arguments: [String]) async throws {
    let (run, requests) = try await Program.run(["schedules"] + arguments) { _, _ in .json(200, Self.schedule()) }
    #expect(run.status == 2)
    #expect(run.output == "")
    #expect(run.errorLines.count == 1, "\(run.errors)")
    let writes = requests.filter { $0.method != "GET" }
    #expect(writes.isEmpty)
  }

  @Test("update sends what was there with what was given")
  func update() async throws {
    let (run, requests) = try await Program.run([
      "schedules", "update", "nightly", "--every", "90s", "--overlap", "skip", "--type", "other", "--tag", "new",
      "--priority", "7", "--json",
    ]) { _, _ in .json(200, Self.schedule()) }
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.output == Self.schedule() + "\n")
    #expect(
      requests.map { "\($0.method) \($0.target)" } == ["GET /schedules/nightly?next=0", "PUT /schedules/nightly"])
    #expect(
      requests.last?.text == """
        {"name":"nightly","everySeconds":90,"task":{"type":"other","payload":{"a":1},"tags":["new"],"priority":7},\
        "misfire":"SKIP","overlap":"SKIP","paused":false}
        """)
  }

  @Test("lease, backoff and concurrency key are options of new and of changed schedules")
  func template() async throws {
    let options = ["--lease", "1m", "--backoff", "linear:base=2s", "--concurrency-key", "c"]
    let fields = #""leaseSeconds":60,"backoff":{"strategy":"linear","baseSeconds":2},"concurrencyKey":"c""#
    let (made, posted) = try await Program.run(["schedules", "create", "n", "t", "--every", "1h"] + options) { _, _ in
      .json(201, Self.schedule())
    }
    #expect(made.status == 0, "\(made.errors)")
    let sent = try #require(posted.first).text
    #expect(sent.contains(#""leaseSeconds":60"#) && sent.contains(#""backoff":{"strategy":"linear","baseSeconds":2}"#))
    #expect(sent.contains(#""concurrencyKey":"c""#))
    let (changed, put) = try await Program.run(["schedules", "update", "nightly"] + options) { _, _ in
      .json(200, Self.schedule())
    }
    #expect(changed.status == 0, "\(changed.errors)")
    #expect(try #require(put.last).text.contains(fields))
  }

  @Test("the other commands say what they did in a line")
  func lines() async throws {
    func line(_ arguments: String...) async throws -> String {
      let (run, _) = try await Program.run(["schedules"] + arguments) { request, _ in
        switch request.method {
        case "DELETE": .json(204, "")
        case "POST": .json(201, Fixtures.taskJSON())
        case _ where request.target.hasPrefix("/schedules?"): .json(200, Fixtures.list([]))
        default: .json(200, Self.schedule())
        }
      }
      #expect(run.status == 0, "\(run.errors)")
      return run.output
    }
    #expect(try await line("list") == "no schedules\n")
    #expect(try await line("list", "--json") == #"{"data":[],"nextCursor":null}"# + "\n")
    #expect(try await line("pause", "nightly") == "nightly paused\n")
    #expect(try await line("resume", "nightly") == "nightly resumed, next run 2026-03-28T01:30:00.000Z\n")
    #expect(try await line("trigger", "nightly") == "\(Fixtures.id)\n")
    #expect(try await line("delete", "nightly") == "nightly deleted\n")
    #expect(try await line("show", "nightly", "--json") == Self.schedule() + "\n")
  }

  @Test("a schedule that is not there is exit code 4, one that is there already 1")
  func refusals() async throws {
    let missing = #"{"status":404,"code":"not-found","detail":"there is no schedule 'n'"}"#
    let (run, _) = try await Program.run(["schedules", "pause", "n"]) { _, _ in .problem(404, missing) }
    #expect((run.status, run.errors) == (4, "martlet: there is no schedule 'n'\n"))
    let (other, _) = try await Program.run(["schedules", "create", "n", "t", "--every", "1h"]) { _, _ in
      .problem(409, #"{"status":409,"code":"already-exists","detail":"there is a schedule 'n'"}"#)
    }
    #expect((other.status, other.errors) == (1, "martlet: there is a schedule 'n'\n"))
  }
}
