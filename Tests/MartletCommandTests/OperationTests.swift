// Commands on many tasks, explanations and the audit.

internal import ArgumentParser
internal import Foundation
internal import MartletCore
internal import ScriptedServer
internal import Testing

@testable internal import MartletCommand

@Suite("Operations")
struct OperationTests {
  private let id = Fixtures.id.description

  @Test(
    "an action on many tasks needs a filter or --all, and an id goes with neither",
    arguments: [
      ["tasks", "cancel"], ["tasks", "cancel", "--dry-run"], ["dead-letters", "retry"], ["dead-letters", "purge"],
      ["tasks", "cancel", "0190a7c4-5e1b-7cc3-98c4-dc0c0c07398f", "--all"],
      ["tasks", "cancel", "0190a7c4-5e1b-7cc3-98c4-dc0c0c07398f", "--type", "mail"],
      ["dead-letters", "purge", "--all", "--rate", "0"], ["dead-letters", "purge", "--all", "--limit", "0"],
      ["bulk", "show"], ["bulk", "stop", "7"], ["audit", "--created-after", "yesterday"],
      ["notifications", "list", "--task", "7"], ["notifications", "list", "--status", "RUNNING"],
      ["notifications", "resend"], ["notifications", "resend", ""], ["submit", "t", "--notify", ""],
      ["submit", "t", "--notify", "a@example.com,SOON"],
      ["submit", "t", "--notify", "nobody"], ["types", "set", "t", "--notify", "a@example.com", "--clear", "notify"],
    ])
  func usage(arguments: [String]) async throws {
    let (run, requests) = try await Program.run(arguments) { _, _ in .json(200, "{}") }
    #expect(run.status == 2 && run.errorLines.count == 1 && requests.isEmpty, "\(run.errors)")
  }

  @Test(
    "an empty value of a filter is refused, and so is a rate that is no number: each would let the act change more than was meant",
    arguments: [
      (["dead-letters", "purge", "--queue", ""], "--queue"), (["dead-letters", "purge", "--type", ""], "--type"),
      (["dead-letters", "purge", "--type", "a,,b"], "--type"), (["dead-letters", "retry", "--queue", ","], "--queue"),
      (["dead-letters", "list", "--queue", "a,"], "--queue"), (["tasks", "cancel", "--status", ""], "--status"),
      (["tasks", "cancel", "--status", "READY,"], "--status"), (["tasks", "list", "--status", ""], "--status"),
      (["tasks", "cancel", "--tag", ""], "--tag"), (["tasks", "cancel", "--worker", ""], "--worker"),
      (["tasks", "cancel", "--key", ""], "--key"), (["tasks", "cancel", "--schedule", ""], "--schedule"),
      (["tasks", "cancel", "--graph", ""], "--graph"), (["tasks", "cancel", "--metadata", ""], "--metadata"),
      (["tasks", "cancel", "--created-before", ""], "--created-before"), (["audit", "--actor", ""], "--actor"),
      (["audit", "--action", ""], "--action"), (["audit", "--target", ""], "--target"),
      (["dead-letters", "purge", "--all", "--rate", "inf"], "--rate"),
      (["dead-letters", "retry", "--all", "--rate", "nan"], "--rate"),
      (["tasks", "cancel", "--all", "--rate", "infinity"], "--rate"),
      (["queues", "set", "q", "--rate", "inf"], "--rate"), (["queues", "set", "q", "--rate", ""], "--rate"),
      (["keys", "create", "k", "--role", "viewer", "--queue", ""], "--queue"),
      (["keys", "create", "k", "--role", ""], "--role"),
    ])
  func emptyValues(arguments: [String], option: String) {
    let error = #expect(throws: (any Error).self) { try MartletCommand.parseAsRoot(arguments) }
    let told = error.map { MartletCommand.message(for: $0) } ?? ""
    #expect(told.contains(option), "\(told)")
  }

  @Test("a variable of the shell that is not set does not make an act one on everything")
  func unsetVariable() async throws {
    let (run, requests) = try await Program.run(["dead-letters", "purge", "--queue", ""]) { _, _ in
      .json(200, #"{"matched":9,"changed":9}"#)
    }
    #expect((run.status, run.output) == (2, "") && requests.isEmpty)
    let told = "martlet: The value '' is invalid for '--queue <queue>': a name is empty; is a variable not set?"
    #expect(run.errorLines.count == 1 && run.errors.hasPrefix(told), "\(run.errors)")
  }

  @Test("a repeated option of a filter goes to the server whole")
  func repeated() async throws {
    let (run, requests) = try await Program.run([
      "dead-letters", "retry", "--type", "a", "--type", "b", "--queue", "p", "--queue", "q",
    ]) { _, _ in .json(200, #"{"matched":1,"changed":1}"#) }
    #expect(run.status == 0, "\(run.errors)")
    #expect(requests.map(\.text) == [#"{"filter":{"type":["a","b"],"queue":["p","q"]}}"#])
  }

  @Test("the list of actions in bulk is read page by page, up to the limit")
  func bulkPages() async throws {
    let job = """
      {"id":"\(id)","action":"purge","filter":{},"status":"DONE","createdAt":"2026-02-01T10:00:00.000Z",\
      "updatedAt":"2026-02-01T10:00:01.000Z"}
      """
    let script: ScriptedServer.Script = { _, number in
      let jobs = Array(repeating: job, count: number == 0 ? 1000 : 500).joined(separator: ",")
      return .json(200, #"{"data":[\#(jobs)],"nextCursor":"c\#(number)"}"#)
    }
    let (run, requests) = try await Program.run(["bulk", "list", "--limit", "1500", "--json"], script: script)
    #expect(run.status == 0, "\(run.errors)")
    #expect(requests.map(\.target) == ["/bulk?limit=1000", "/bulk?limit=500&cursor=c0"])
    let answer = try JSONScanner.scan(Array(run.output.utf8))
    #expect(answer["data"]?.elements?.count == 1500 && answer["nextCursor"]?.string == "c1")
    let (table, asked) = try await Program.run(["bulk", "list", "--limit", "1001"], script: script)
    #expect(table.status == 0 && asked.count == 2)
    #expect(table.output.split(separator: "\n").count == 1501)
  }

  @Test("filters, limits and rates go to the server, and what it did is one line")
  func bulk() async throws {
    let cases: [([String], String, String, String)] = [
      (
        ["tasks", "cancel", "--type", "mail", "--status", "READY"], "/tasks/cancel",
        #"{"filter":{"status":["READY"],"type":["mail"]}}"#, "3 of 4 cancelled, or asked to end\n"
      ),
      (
        ["dead-letters", "retry", "--all", "--limit", "4"], "/dead-letters/retry",
        #"{"filter":{},"all":true,"limit":4}"#, "3 of 4 retried\n"
      ),
      (
        ["dead-letters", "purge", "--tag", "t", "--dry-run"], "/dead-letters/purge",
        #"{"filter":{"tag":"t"},"dryRun":true}"#, "4 match\n"
      ),
    ]
    for (arguments, target, body, output) in cases {
      let (run, requests) = try await Program.run(arguments) { _, _ in .json(200, #"{"matched":4,"changed":3}"#) }
      #expect(run.status == 0 && run.errors == "")
      #expect(run.output == output)
      #expect(requests.map(\.target) == [target] && requests.first?.text == body)
    }
    let answer = #"{"matched":0,"changed":0,"bulkId":"\#(id)"}"#
    let (run, _) = try await Program.run(["tasks", "cancel", "--all", "--rate", "2"]) { _, _ in .json(202, answer) }
    #expect(run.output == "goes on in the background: martlet bulk show \(id)\n")
  }

  @Test("jobs, entries of the audit and explanations are tables, and JSON as it came")
  func tables() async throws {
    let job = """
      {"id":"\(id)","action":"purge","filter":{"tag":"t"},"ratePerSecond":2,"status":"RUNNING","matched":4,"changed":3,"failed":1,\
      "createdAt":"2026-02-01T10:00:00.000Z","updatedAt":"2026-02-01T10:00:01.000Z","actor":"key:ops","lastError":null}
      """
    let entry = """
      {"id":7,"at":"2026-02-01T10:00:00.000Z","actor":"key:ops","action":"task.patch","target":"\(id)",\
      "detail":{"fields":["priority"]}}
      """
    let notice = """
      {"id":"\(id).4.0","taskId":"\(id)","taskType":"resize","queue":"default","channel":"webhook","target":"https://hooks.example/x",\
      "type":"task.failed","taskStatus":"DEAD","status":"PENDING","attempts":2,"maxAttempts":15,\
      "nextAttemptAt":"2026-02-01T10:00:05.000Z","lastError":"answered 500","createdAt":"2026-02-01T10:00:00.000Z",\
      "updatedAt":"2026-02-01T10:00:01.000Z"}
      """
    let explanation = """
      {"status":"PENDING","blockers":[{"kind":"dependency","detail":"waits for x (DEAD)"}],"queuePosition":null,\
      "nextAttemptAt":null}
      """
    let cases: [([String], String, [String])] = [
      (["bulk", "list"], Fixtures.list([job]), ["purge", "RUNNING", "key:ops", #"{"tag":"t"}"#]),
      (["bulk", "show", id], job, [id, "RUNNING"]), (["bulk", "stop", id], job, [id]),
      (
        ["audit", "--actor", "key:ops"], Fixtures.list([entry]), ["task.patch", "key:ops", #"{"fields":["priority"]}"#]
      ),
      (
        ["notifications", "list", "--task", id, "--status", "pending,DEAD"], Fixtures.list([notice]),
        ["\(id).4.0", "PENDING", "task.failed", "https://hooks.example/x", "2/15", "answered 500"]
      ),
      (["notifications", "resend", "\(id).4.0"], notice, ["\(id).4.0", "PENDING"]),
      (["tasks", "explain", id], explanation, ["PENDING", "dependency", "waits for x (DEAD)"]),
    ]
    for (arguments, json, words) in cases {
      let (run, _) = try await Program.run(arguments) { _, _ in .json(200, json) }
      #expect(run.status == 0, "\(run.errors)")
      for word in words { #expect(run.output.contains(word), "\(run.output)") }
      let (plain, _) = try await Program.run(arguments + ["--json"]) { _, _ in .json(200, json) }
      #expect(plain.output.contains(json), "\(plain.output)")
    }
  }

  @Test("notices are asked for by task and status, and sent again by their ids")
  func notices() async throws {
    let arguments = ["notifications", "list", "--task", id, "--status", "dead", "--limit", "5"]
    let (list, asked) = try await Program.run(arguments) { _, _ in .json(200, Fixtures.list([])) }
    #expect(list.status == 0 && list.output.contains("no notices"))
    #expect(asked.map(\.target) == ["/notifications?taskId=\(id)&status=DEAD&limit=5"])
    let (resent, requests) = try await Program.run(["notifications", "resend", "a/b"]) { _, _ in
      .problem(404, #"{"status":404,"code":"not-found","detail":"there is no notice 'a/b'"}"#)
    }
    #expect(resent.status == 4)
    #expect(requests.map { "\($0.method) \($0.target)" } == ["POST /notifications/a%2Fb/resend"])
  }

  @Test("who is to be told goes with the task and with a type, which keeps it when it is paused")
  func notify() async throws {
    let (run, requests) = try await Program.run([
      "submit", "t", "--notify", "https://a.example/x?y=1,2", "--notify", "ops@example.com,dead,CANCELLED",
    ]) { request, _ in
      request.path == "/workers" ? .json(200, Fixtures.list([])) : .json(201, Fixtures.taskJSON())
    }
    #expect(run.status == 0, "\(run.errors)")
    let expected =
      #""notify":[{"webhook":"https://a.example/x?y=1,2","on":["SUCCESS","DEAD"]},"#
      + #"{"email":"ops@example.com","on":["DEAD","CANCELLED"]}]"#
    #expect(requests.first { $0.method == "POST" }?.text.contains(expected) == true)
    let defaults = #"{"notify":[{"email":"a@example.com","on":["DEAD"]}]}"#
    let type = #"{"name":"t","defaults":\#(defaults),"paused":false,"workers":[],"counts":{}}"#
    let (paused, sent) = try await Program.run(["types", "pause", "t"]) { request, _ in
      .json(200, request.method == "GET" ? Fixtures.list([type]) : type)
    }
    #expect(paused.status == 0, "\(paused.errors)")
    #expect(
      sent.last?.text == #"{"defaults":{"notify":[{"email":"a@example.com","on":["DEAD"]}]},"paused":true}"#)
  }

  @Test("tasks show tells why a task is not running, but not of one that has ended")
  func show() async throws {
    let explanation = #"{"status":"READY","blockers":[{"kind":"no-worker","detail":"nobody"}],"queuePosition":2}"#
    for (status, isAsked) in [("READY", true), ("DEAD", false)] {
      let (run, requests) = try await Program.run(["tasks", "show", id]) { request, _ in
        if request.path.hasSuffix("/explain") { return .json(200, explanation) }
        return request.path == "/tasks/\(id)"
          ? .json(200, Fixtures.taskJSON(status: status)) : .json(200, Fixtures.list([]))
      }
      #expect(run.status == 0, "\(run.errors)")
      #expect(
        run.output.contains("Why it is not running\n  no-worker          nobody\n  place in its queue: 2") == isAsked)
      #expect(requests.contains { $0.target.hasSuffix("/explain") } == isAsked)
    }
    // An older server does not know.
    let (run, _) = try await Program.run(["tasks", "show", id]) { request, _ in
      if request.path.hasSuffix("/explain") { return .problem(404, #"{"status":404,"code":"not-found"}"#) }
      return request.path == "/tasks/\(id)" ? .json(200, Fixtures.taskJSON()) : .json(200, Fixtures.list([]))
    }
    #expect(run.status == 0 && run.output.contains("READY") && !run.output.contains("Why"))
  }
}
