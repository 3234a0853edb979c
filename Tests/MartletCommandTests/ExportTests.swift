// `martlet export` against a scripted server: what a line holds, and how an export that was cut short goes on.

import Foundation
import MartletCore
import ScriptedServer
import Testing

@Suite("export, prune and transfer")
struct ExportTests {
  private static func id(_ number: Int) -> String { "0190a7c4-5e1b-7cc3-98c4-\(String(format: "%012d", number))" }

  private static func task(_ number: Int, payload: String = "{}") -> String {
    #"{"id":"\#(id(number))","type":"resize","status":"SUCCESS","payload":\#(payload),"result":null}"#
  }

  /// Three pages of two tasks, each of which has one attempt and one event.
  private static func answer(_ request: ScriptedRequest) -> ScriptedAnswer {
    let target = request.target
    if target.hasSuffix("/attempts") {
      return .json(200, Fixtures.list([Fixtures.attempt(1, "SUCCESS", logs: #"["done"]"#)]))
    }
    if target.hasSuffix("/events") { return .json(200, Fixtures.list([Fixtures.event(1, "received")])) }
    let page = ["cursor=one": 1, "cursor=two": 2].first { target.contains($0.key) }?.value ?? 0
    let next = ["\"one\"", "\"two\"", "null"][page]
    let tasks = [task(6 - 2 * page, payload: "{\n  \"a\": 1.0\r\n}"), task(5 - 2 * page)]
    return .json(200, #"{"data":[\#(tasks.joined(separator: ","))],"nextCursor":\#(next)}"#)
  }

  private static func ids(_ text: String) throws -> [String] {
    try text.split(separator: "\n").map { line in
      let task = try JSONScanner.scan(Array(line.utf8))
      #expect(task["attempts"]?.elements?.first?["logs"]?.elements?.first?.string == "done")
      #expect(task["events"]?.elements?.first?["sequence"]?.int == 1)
      return task["id"]?.string ?? ""
    }
  }

  @Test("each line is a task with payload, result, attempts and events, whatever white space the payload has")
  func lines() async throws {
    let (run, requests) = try await Program.run(["export", "--status", "SUCCESS", "--type", "resize"]) { request, _ in
      Self.answer(request)
    }
    #expect(run.status == 0, "\(run.errors)")
    #expect(try Self.ids(run.output) == [6, 5, 4, 3, 2, 1].map(Self.id))
    #expect(run.output.contains(#""payload":{   "a": 1.0  }"#))
    #expect(run.errors == "exported 6 tasks\n")
    let first = try #require(requests.first?.target)
    for part in ["status=SUCCESS", "type=resize", "include=payload%2Cresult"] {
      #expect(first.contains(part), "\(first)")
    }
  }

  @Test("a task that is deleted meanwhile is told, with null for its history")
  func vanished() async throws {
    let (run, _) = try await Program.run(["export"]) { request, _ in
      request.target.contains(Self.id(3)) ? .problem(404, #"{"status":404,"code":"not-found"}"#) : Self.answer(request)
    }
    #expect(run.status == 0, "\(run.errors)")
    let lines = run.output.split(separator: "\n")
    #expect(lines.count == 6)
    #expect(lines[3].hasSuffix(#","attempts":null,"events":null}"#))
    #expect(run.errors.contains("1 were deleted meanwhile"))
  }

  @Test("an export that failed goes on where the file is sure to be whole, and every task is there once")
  func resumed() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-export-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let file = folder.appending(path: "tasks.ndjson").path
    let (failed, _) = try await Program.run(["export", "--output", file]) { request, _ in
      request.target.contains("cursor=two") ? .problem(500, #"{"status":500,"code":"internal"}"#) : Self.answer(request)
    }
    #expect(failed.status == 1)
    #expect(failed.errors.contains("--resume goes on with it"))
    #expect(FileManager.default.fileExists(atPath: file + ".cursor"))
    // Half a line, as a kill leaves it.
    let handle = try #require(FileHandle(forWritingAtPath: file))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data(#"{"id":"half"#.utf8))
    try handle.close()

    let (other, none) = try await Program.run(["export", "--output", file, "--resume", "--type", "x"]) { request, _ in
      Self.answer(request)
    }
    #expect(other.status == 2 && none.isEmpty && other.errors.contains("other filters"))
    let (again, _) = try await Program.run(["export", "--output", file]) { request, _ in Self.answer(request) }
    #expect(again.status == 1 && again.errors.contains("--resume"))
    let (run, _) = try await Program.run(["export", "--output", file, "--resume"]) { request, _ in Self.answer(request)
    }
    #expect(run.status == 0, "\(run.errors)")
    #expect(run.errors == "exported 6 tasks\n")
    let text = String(decoding: try #require(FileManager.default.contents(atPath: file)), as: UTF8.self)
    #expect(try Self.ids(text) == [6, 5, 4, 3, 2, 1].map(Self.id))
    #expect(!FileManager.default.fileExists(atPath: file + ".cursor"))
    let (complete, asked) = try await Program.run(["export", "--output", file, "--resume"]) { request, _ in
      Self.answer(request)
    }
    #expect(complete.status == 2 && asked.isEmpty && complete.errors.contains("complete"))
  }

  @Test(
    "what cannot be meant is wrong usage, and no server is asked",
    arguments: [
      ["export", "--resume"], ["export", "--output", ""], ["export", "--status", "SOON"],
      ["prune", "--status", "READY"], ["prune", "--older-than", "soon"], ["prune", "--older-than", "-1s"],
      ["transfer"], ["transfer", "--from", "martlet.db"], ["transfer", "--from", "postgres://a@b/c"],
      ["transfer", "--from", "sqlite:a.db", "--to", "sqlite:b.db"],
    ])
  func usage(arguments: [String]) async throws {
    let (run, requests) = try await Program.run(arguments) { _, _ in .json(200, "{}") }
    #expect(run.status == 2 && run.errorLines.count == 1 && requests.isEmpty, "\(run.errors)")
  }

  @Test("prune and transfer refuse a database that is not there, and make none")
  func missing() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "martlet-none-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let database = "sqlite:\(folder.path)/none.db"
    for arguments in [
      ["prune", "--database", database],
      ["transfer", "--from", database, "--to", "postgres://nobody@127.0.0.1:1/none"],
    ] {
      let (run, _) = try await Program.run(arguments) { _, _ in .json(200, "{}") }
      #expect(run.status == 1 && run.errorLines.count == 1, "\(run.errors)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == [])
    }
  }
}
