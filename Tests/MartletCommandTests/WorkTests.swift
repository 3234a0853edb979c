// `martlet work`: real programs for tasks of a scripted server.

internal import Foundation
internal import MartletCore
internal import ScriptedServer
internal import Synchronization
internal import Testing

@testable internal import MartletCommand

@Suite("work", .serialized, .timeLimit(.minutes(10)))
struct WorkTests {
  @Test func `a program gets the payload and is told of its task, and its output is the result`() async throws {
    let script = """
      printf '{"payload":%s,"told":["%s","%s","%s","%s","%s","%s"]}' "$(cat)" "$MARTLET_TASK_ID" "$MARTLET_TYPE" \
      "$MARTLET_ATTEMPT" "$MARTLET_MAX_ATTEMPTS" "$MARTLET_QUEUE" "$MARTLET_TRACEPARENT"
      """
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    let office = Office([Leases.lease(1, payload: #"{"n": 1.0}"#, trace: "\"\(trace)\"")])
    let run = try await office.work(["sh", "-c", script])
    let told = #"["\#(Leases.id(1).task)","resize","1","4","images","\#(trace)"]"#
    #expect(office.result(1) == #"{"payload":{"n": 1.0},"told":\#(told)}"#)
    #expect(run.status == 5, "the scripted server ends it by a refusal")
  }

  @Test func `a lease that is short for the task's timeout is used up to that`() async throws {
    let office = Office([Leases.lease(1, expiresIn: 1.996, timeout: 2)])
    _ = try await office.work(["sh", "-c", "sleep 1; echo done"])
    #expect(office.report(1)?.contains(#""outcome":"SUCCESS""#) == true, "\(office.report(1) ?? "no report")")
  }

  @Test func `the worker signs in, and its programs do not know how`() async throws {
    let office = Office([Leases.lease(1)])
    _ = try await office.work(
      ["env"], environment: ["MARTLET_API_KEY": "mk_secret", "MARTLET_TOKEN": "t", "KEPT": "yes"])
    let variables = try #require(office.text(1))
    let names = variables.split(separator: "\n").map { $0.prefix { $0 != "=" } }
    #expect(names.contains("KEPT"))
    #expect(
      names.filter { $0.hasPrefix("MARTLET_") }.sorted() == [
        "MARTLET_ATTEMPT", "MARTLET_MAX_ATTEMPTS", "MARTLET_QUEUE", "MARTLET_TASK_ID", "MARTLET_TYPE",
      ])
    #expect(office.requests.allSatisfy { $0.headers["x-api-key"] == "mk_secret" })
  }

  @Test(arguments: [
    ("true", #""outcome":"SUCCESS""#), ("echo hello", #""outcome":"SUCCESS","result":"hello""#),
    ("echo 42", #""outcome":"SUCCESS","result":42"#),
    ("echo why >&2", #""outcome":"SUCCESS","logs":["why"]"#),
    (
      "echo why >&2; exit 65",
      #""outcome":"FAILED","error":{"type":"EXIT_65","message":"the command exited with 65: why"},"retryable":false,"logs":["why"]"#
    ),
    ("exit 75", #""outcome":"FAILED","error":{"type":"EXIT_75","message":"the command exited with 75"}"#),
    ("echo part; exit 1", #""outcome":"FAILED","error":{"type":"EXIT_1","message":"the command exited with 1"}"#),
    (
      "kill -SEGV $$",
      #""outcome":"FAILED","error":{"type":"SIGNAL_11","message":"the command was killed by SIGSEGV"}"#
    ),
    (
      "kill -KILL $$",
      #""outcome":"FAILED","error":{"type":"SIGNAL_9","message":"the command was killed by SIGKILL"}"#
    ),
  ])
  func `exit codes and signals are ends of attempts`(script: String, report: String) async throws {
    let office = Office([Leases.lease(1)])
    _ = try await office.work(["sh", "-c", script])
    #expect(office.report(1) == #"{"leaseId":"\#(Leases.id(1))",\#(report)}"#)
  }

  @Test func `a program may ignore a large payload, and say very much`() async throws {
    let payload = "\"" + String(repeating: "x", count: 250_000) + "\""
    let office = Office((1...4).map { Leases.lease($0, payload: payload) })
    _ = try await office.work(["sh", "-c", "exec <&-; seq 1 100000 >&2; head -c 1000000 /dev/zero | tr '\\0' 7"])
    for number in 1...4 {
      #expect(try #require(office.text(number)).utf8.count == Limits.resultBytes)
      let logs = try #require(office.slice(number)?["logs"]?.elements)
      #expect(keptLogs(logs.compactMap(\.string)).count == 1000)
      #expect(logs.last?.string == "100000")
    }
  }

  @Test func `children that hold the pipes keep nobody, and do not outlive the attempt`() async throws {
    let office = Office([Leases.lease(1), Leases.lease(2)])
    // One child holds the pipes, the other has let go of them.
    _ = try await office.work([
      "sh", "-c", #"sleep 600 & held=$!; sleep 600 >/dev/null 2>&1 & echo "[$held,$!]""#,
    ])
    for number in 1...2 {
      let elements = try #require(office.slice(number)?["result"]?.elements)
      let children = elements.compactMap(\.int)
      #expect(children.count == 2)
      for child in children { #expect(await isGone(child)) }
    }
  }

  @Test func `what children still say after the program's end belongs to it`() async throws {
    let output = Mutex<[UInt8]>([])
    let errors = Mutex<[UInt8]>([])
    // As long as it takes: how busy the machine is is no subject here.
    let run = ProgramRun(
      linger: .seconds(600), onOutput: { bytes in output.withLock { $0 += bytes } },
      onErrors: { bytes in errors.withLock { $0 += bytes } })
    let script = "(sleep 0.2; echo late; echo later >&2) & exit 0"
    let program = try HandlerProgram(["sh", "-c", script], environment: ["PATH": "/usr/bin:/bin"])
    _ = try await run.run(program, environment: program.environment, input: [])
    #expect(output.withLock { String(decoding: $0, as: UTF8.self) } == "late\n")
    #expect(errors.withLock { String(decoding: $0, as: UTF8.self) } == "later\n")
  }

  @Test func `cancelling sends SIGTERM to the whole group, and SIGKILL to who does not listen`() async throws {
    let folder = try Folder()
    defer { folder.remove() }
    // Not before all of it runs.
    @Sendable func begun() -> Bool { ["deaf", "plain"].allSatisfy { Int(folder.text($0)) != nil } }
    let office = Office([Leases.lease(1, seconds: 3)], renewal: begun() ? "CANCEL_REQUESTED" : "RENEWED")
    let script = """
      sh -c 'trap "" TERM; sleep 600 & echo $! >\(folder.file("deaf")); wait; wait' &
      trap 'echo stopping >&2' TERM
      sleep 600 & echo $! >\(folder.file("plain")); wait; wait
      """
    _ = try await office.work(["sh", "-c", script], options: ["--kill-after", "5s"])
    #expect(office.slice(1)?["outcome"]?.string == "CANCELLED")
    // With the report, or with a renewal while the deaf one is waited for.
    #expect(office.requests.contains { $0.text.contains(#""logs":["stopping"]"#) })
    for name in ["deaf", "plain"] {
      let child = try #require(Int(folder.text(name)))
      #expect(await isGone(child))
    }
  }

  @Test func `at its timeout an attempt is stopped and reported so`() async throws {
    let office = Office([Leases.lease(1, timeout: 0.3)])
    _ = try await office.work(["sleep", "600"])
    #expect(office.report(1) == #"{"leaseId":"\#(Leases.id(1))","outcome":"TIMED_OUT"}"#)
  }

  @Test func `a lost lease stops the program, and nothing is reported`() async throws {
    let office = Office([Leases.lease(1, seconds: 6), Leases.lease(2)], renewal: "LOST")
    _ = try await office.work(
      ["sh", "-c", #"[ "$MARTLET_TASK_ID" = "$0" ] && sleep 600; true"#, Leases.id(1).task.description],
      options: ["--concurrency", "1"])
    #expect(office.report(1) == nil)
    #expect(office.report(2) == #"{"leaseId":"\#(Leases.id(2))","outcome":"SUCCESS"}"#)
  }

  @Test func `a program that goes missing is a failure of the attempt`() async throws {
    let folder = try Folder()
    defer { folder.remove() }
    let program = folder.file("once")
    try Data("#!/bin/sh\nrm \"$0\"\n".utf8).write(to: URL(fileURLWithPath: program))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
    let office = Office([Leases.lease(1), Leases.lease(2)])
    _ = try await office.work([program], options: ["--concurrency", "1"])
    #expect(office.report(1) == #"{"leaseId":"\#(Leases.id(1))","outcome":"SUCCESS"}"#)
    #expect(office.slice(2)?["error"]?["type"]?.string == "SPAWN_FAILED")
    #expect(office.slice(2)?["retryable"] == nil)
  }

  @Test(arguments: [
    (["--type", "t", "--", "no-such-program"], "the command 'no-such-program' is not there"),
    (["--type", "t", "--", #filePath], "WorkTests.swift' cannot be executed"),
    (["--type", "t"], "the command to run is missing: put it behind --"), (["--", "true"], "--type is missing"),
    (["--type", "a b", "--", "true"], "--type 'a b' must be 1–128 characters"),
    (["--type", "", "--", "true"], "--type '' must be 1–128 characters"),
    (["--type", "t", "--queue", "", "--", "true"], "--queue '' must be 1–128 characters"),
    (["--type", "t", "--concurrency", "0", "--", "true"], "--concurrency must be from 1 to 1000"),
    (["--type", "t", "--grace", "soon", "--", "true"], "a number of seconds"), (["--type", "t", "true"], "'true'"),
  ])
  func `what cannot work is told at once, in one line`(arguments: [String], message: String) async throws {
    let (run, requests) = try await Program.run(["work"] + arguments, script: { _, _ in .hangUp })
    #expect(run.status == 2)
    #expect(run.errorLines.count == 1 && run.errors.contains(message), "\(run.errors)")
    #expect(requests.isEmpty)
  }

  @Test func `a server that refuses ends it with the code for that`() async throws {
    for (status, code) in [(401, Int32(5)), (403, 5), (404, 1)] {
      let (run, _) = try await Program.run(
        ["work", "--type", "t", "--", "true"], script: { _, _ in .problem(status, #"{"detail":"not you"}"#) })
      #expect(run.status == code)
      #expect(run.errorLines.last?.hasPrefix("martlet: ") == true)
    }
  }

  @Test func `SIGTERM lets what runs come to its end, and then it exits with 0`() async throws {
    let folder = try Folder()
    defer { folder.remove() }
    let office = Office([Leases.lease(1)], endsItself: false)
    let script = "touch \(folder.file("begun")); while [ ! -e \(folder.file("gate")) ]; do sleep 0.02; done; echo 1"
    try await office.working(["sh", "-c", script]) { worker in
      await until { folder.has("begun") }
      worker.signal(SIGTERM)
      await until { worker.errors.contains("draining") }
      folder.make("gate")
      #expect(await worker.status == 0)
    }
    #expect(office.report(1) == #"{"leaseId":"\#(Leases.id(1))","outcome":"SUCCESS","result":1}"#)
  }

  @Test func `what outlasts the grace is stopped and given back`() async throws {
    let folder = try Folder()
    defer { folder.remove() }
    let office = Office([Leases.lease(1)], endsItself: false)
    try await office.working(
      ["sh", "-c", "touch \(folder.file("begun")); exec sleep 600"], options: ["--grace", "0"]
    ) { worker in
      await until { folder.has("begun") }
      worker.signal(SIGTERM)
      #expect(await worker.status == 0)
    }
    #expect(office.report(1) == #"{"leaseId":"\#(Leases.id(1))","outcome":"RELEASED"}"#)
  }

  @Test func `a second signal ends everything at once`() async throws {
    let folder = try Folder()
    defer { folder.remove() }
    let office = Office([Leases.lease(1)], endsItself: false)
    let script =
      "trap '' TERM; echo $$ >\(folder.file("pid")); mv \(folder.file("pid")) \(folder.file("begun")); while :; do sleep 1; done"
    try await office.working(["sh", "-c", script]) { worker in
      await until { folder.has("begun") }
      worker.signal(SIGTERM)
      await until { worker.errors.contains("draining") }
      await until {
        worker.signal(SIGTERM)  // those within a second of the first are one with it
        return worker.hasEnded
      }
      #expect(await worker.status == 1)
      let child = try #require(Int(folder.text("begun")))
      #expect(await isGone(child))
    }
    #expect(office.report(1) == nil)
  }
}
