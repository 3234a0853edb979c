// Export and prune on a real server: an archive that is cut short goes on without a gap, and retention takes what was archived while the
// server runs.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Archives")
  struct ArchiveTests {
    @Test func `an export that is killed again and again has every task once, with its history`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        let expected = try await Self.fill(server.api, count: 1500)
        let file = scene.file("tasks.ndjson")
        let at = ["--server", server.api.address, "--output", file.path, "--status", "SUCCESS,DEAD"]
        var kills = 0
        var arguments = ["export"] + at
        for turn in 0..<8 {
          let export = try scene.start(Tool.built("martlet"), arguments)
          let size = Self.size(of: file)
          try await eventually("it writes") { export.hasEnded != nil || Self.size(of: file) > size }
          try await Task.sleep(for: .milliseconds(20 * turn))
          export.signal(SIGKILL)
          if try await export.ended() == .killed(SIGKILL) { kills += 1 } else { break }
          // Nothing to go on with yet, or something: either way the same command goes on.
          arguments = ["export", "--resume"] + at
        }
        #expect(kills > 0, "it was never killed")
        if FileManager.default.fileExists(atPath: file.path + ".cursor") {
          let last = try await scene.martlet(["export", "--resume"] + at)
          #expect(last.ending == .exited(0), "\(last.program.errors)")
        }

        let lines = String(decoding: try Data(contentsOf: file), as: UTF8.self).split(separator: "\n")
        let ids = try lines.map { line in
          let task = try JSONScanner.scan(Array(line.utf8))
          let attempts = task["attempts"]?.elements ?? []
          #expect(attempts.count == task["attempt"]?.int)
          #expect((task["events"]?.elements?.count ?? 0) >= 3)
          #expect(task["payload"]?["n"]?.int != nil)
          return task["id"]?.string ?? ""
        }
        #expect(ids.count == Set(ids).count, "a task is there twice")
        #expect(Set(ids) == expected)
      }
    }

    @Test(arguments: ["sqlite", "postgres"])
    func `prune shows what would go and why the rest stays, and then takes it beside the running server`(
      kind: String
    ) async throws {
      try await Scene.play { scene in
        let settings = ["MARTLET_DATABASE_DURABILITY": "relaxed"]
        let url =
          kind == "sqlite"
          ? "sqlite:\(scene.file("martlet.db").path)" : try await DatabaseServer(on: PostgresServer.shared).url
        let server = try await scene.serve(["--database", url], environment: settings)
        for number in 0..<20 {
          let id = try await server.api.submit(#"{"type":"FAIL_SOMETIMES","payload":{"probability":0,"n":\#(number)}}"#)
          try await server.api.task(id, becomes: "SUCCESS")
        }
        let keyed = try await server.api.submit(
          #"{"type":"FAIL_SOMETIMES","payload":{"probability":0},"idempotencyKey":"k"}"#)
        try await server.api.task(keyed, becomes: "SUCCESS")
        let dead = try await server.api.submit(#"{"type":"FAIL_SOMETIMES","payload":{"probability":1},"retries":0}"#)
        try await server.api.task(dead, becomes: "DEAD")
        let child = try await server.api.submit(#"{"type":"FAIL_SOMETIMES","dependencies":["\#(dead)"]}"#)

        let arguments = ["prune", "--database", url, "--older-than", "0s", "--json"]
        for isDryRun in [true, false] {
          let run = try await scene.martlet(arguments + (isDryRun ? ["--dry-run"] : []), environment: settings)
          #expect(run.ending == .exited(0), "\(run.program.errors)")
          let report = try JSONScanner.scan(Array(run.program.output.utf8))
          #expect(report["dryRun"]?.bool == isDryRun)
          #expect(report["deleted"]?.int == 20)
          #expect(report["gone"]?.elements?.first?["type"]?.string == "FAIL_SOMETIMES")
          let kept = report["protected"]?.elements?.map { count in
            (count["status"]?.string, count["protections"]?.elements?.compactMap(\.string))
          }
          #expect(kept?.contains { $0 == ("DEAD", ["dependants"]) } == true)
          #expect(kept?.contains { $0 == ("SUCCESS", ["idempotency-key"]) } == true)
          #expect(try await server.api.allTasks().count == (isDryRun ? 23 : 3))
        }
        try await Self.prunesAsAllNodesDo(scene, server.api, url)
        let shown = try await scene.martlet(
          ["prune", "--database", url, "--dry-run", "--status", "DEAD"], environment: settings)
        #expect(shown.program.output.contains("would delete 0 tasks"))
        // The server knows of it, and goes on.
        #expect(try await server.api.get("/tasks/\(child)").status == 200)
        let counts = try await eventually("it is counted") {
          let counts = try await server.api.found("/stats")["byStatus"]
          return counts?["SUCCESS"]?.int == 1 ? counts : nil
        }
        #expect(counts["DEAD"]?.int == 1)
      }
    }

    /// What is set for all nodes holds for it, too: what ended a second ago is past its time, and kept by its key.
    private static func prunesAsAllNodesDo(_ scene: Scene, _ api: API, _ url: String) async throws {
      func kept() async throws -> Int {
        let run = try await scene.martlet(
          ["prune", "--database", url, "--dry-run", "--json"], environment: ["MARTLET_DATABASE_DURABILITY": "relaxed"])
        #expect(run.ending == .exited(0), "\(run.program.errors)")
        return try JSONScanner.scan(Array(run.program.output.utf8))["protected"]?.elements?.count ?? -1
      }
      #expect(try await kept() == 0)
      #expect(try await api.patch("/settings", #"{"retention.successSeconds":1}"#).status == 200)
      try await eventually("a task is past the time that was set for all nodes") { try await kept() == 1 }
    }

    /// Tasks that have ended; their ids.
    private static func fill(_ api: API, count: Int) async throws -> Set<String> {
      var ids: Set<String> = []
      for start in stride(from: 0, to: count, by: 500) {
        let tasks = (start..<start + 500).map { number in
          #"{"type":"FAIL_SOMETIMES","payload":{"probability":\#(number % 10 == 0 ? 1 : 0),"n":\#(number)},"retries":0}"#
        }
        let reply = try await api.post("/tasks/batch", #"{"tasks":[\#(tasks.joined(separator: ","))]}"#)
        ids.formUnion(try reply.json()["data"]?.elements?.compactMap { $0["id"]?.string } ?? [])
      }
      try await api.allAreAtRest()
      return ids
    }

    private static func size(of file: URL) -> Int {
      (try? FileManager.default.attributesOfItem(atPath: file.path)[.size] as? Int) ?? 0
    }
  }
}
