// `martlet settings …`: what is asked of the server, and what is shown of its answers.

internal import Foundation
internal import MartletCore
internal import ScriptedServer
internal import Testing

@testable internal import MartletCommand

@Suite("Settings")
struct SettingsTests {
  private static let sheet = #"""
    {"revision":3,"settings":[
    {"key":"tasks.maxRetries","value":5,"source":"fleet","override":5,"overridable":true,"needsRestart":false},
    {"key":"log.level","value":"info","source":"--log","override":"debug","overridable":true,"needsRestart":false},
    {"key":"workers.queues","value":["a","b"],"source":"default","override":null,"overridable":true,"needsRestart":true},
    {"key":"redis.url","value":"(hidden)","source":"MARTLET_REDIS_URL","override":null,"overridable":false,"needsRestart":true}],
    "waitingForRestart":["workers.queues"],"problems":["tasks.x is no setting"]}
    """#

  @Test("are listed with where each comes from, what waits and what is wrong")
  func list() async throws {
    let (run, requests) = try await Program.run(["settings"]) { _, _ in .json(200, Self.sheet) }
    #expect(run.status == 0 && requests.map(\.target) == ["/settings"])
    for word in ["tasks.maxRetries", "fleet", "a,b", "(hidden)", "debug"] { #expect(run.output.contains(word)) }
    #expect(run.errors.contains("waiting for a restart of the node: workers.queues"))
    #expect(run.errors.contains("refused: tasks.x is no setting"))
    let (short, _) = try await Program.run(["settings", "list", "--overrides"]) { _, _ in .json(200, Self.sheet) }
    #expect(short.output.contains("log.level") && !short.output.contains("redis.url"))
    let (json, _) = try await Program.run(["settings", "list", "--json"]) { _, _ in .json(200, Self.sheet) }
    #expect(try JSONScanner.scan(Array(json.output.utf8))["revision"]?.int == 3)
  }

  @Test("are set, unset and brought back by their names")
  func change() async throws {
    let calls: [([String], String, String)] = [
      (
        ["settings", "set", "tasks.maxRetries=5", "workers.queues=a,b"], "PATCH /settings",
        #"{"tasks.maxRetries":"5","workers.queues":"a,b"}"#
      ),
      (["settings", "unset", "log.level", "log.level"], "PATCH /settings", #"{"log.level":null}"#),
      (["settings", "revert"], "POST /settings/revert", "{}"),
      (["settings", "revert", "0"], "POST /settings/revert", #"{"revision":0}"#),
    ]
    for (arguments, call, body) in calls {
      let (run, requests) = try await Program.run(arguments) { _, _ in .json(200, Self.sheet) }
      #expect(run.status == 0, "\(run.errors)")
      #expect(requests.map { "\($0.method) \($0.target)" } == [call] && requests.map(\.text) == [body])
      #expect(run.errors.contains("on this node log.level comes from --log, which goes first"))
      #expect(!run.output.contains("redis.url"))
    }
  }

  @Test("have a history")
  func history() async throws {
    let revision =
      #"{"revision":2,"at":"2026-02-01T10:00:00.000Z","actor":"key:ops","changes":{"a.b":5,"c":null},"overrides":{"a.b":5}}"#
    let (run, _) = try await Program.run(["settings", "history"]) { _, _ in
      .json(200, #"{"data":[\#(revision)],"nextCursor":null}"#)
    }
    #expect(run.output.contains("key:ops") && run.output.contains("a.b=5 c="))
  }

  @Test(
    "that say nothing are a mistake of whoever types",
    arguments: [
      ["settings", "set"], ["settings", "set", "tasks.maxRetries"], ["settings", "set", "=5"],
      ["settings", "set", "a.b="],
      ["settings", "set", "a=1", "a=2"], ["settings", "unset"], ["settings", "revert", "--", "-1"],
    ])
  func usage(arguments: [String]) async throws {
    let (run, requests) = try await Program.run(arguments) { _, _ in .json(200, Self.sheet) }
    #expect(run.status == 2 && requests.isEmpty, "\(run.errors)")
  }
}
