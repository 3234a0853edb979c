// Workers elsewhere, as a team in any language has them: a real server, and real workers that are killed, frozen, drained and
// left alone by it.

internal import ChildProcess
internal import Foundation
internal import MartletCore
internal import Testing

extension EndToEnd {
  @Suite("Remote work")
  struct RemoteWorkTests {
    /// Seconds until a worker that fell silent is noticed, and no wait before the next attempt.
    private static let soon = #""leaseSeconds": 5, "retries": 20, "backoff": {"baseSeconds": 0.05}"#

    // MARK: A worker for each language

    @Test func `the shell worker archives a folder, and says what a wrong name is`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        try FileManager.default.createDirectory(at: scene.file("photos"), withIntermediateDirectories: true)
        try Data("a bird".utf8).write(to: scene.file("photos/martlet.txt"))
        // It calls `martlet` by its name.
        let folder = try Tool.built("martlet").deletingLastPathComponent().path
        let worker = try scene.start(
          Self.example("ShellWorker/worker"), [],
          environment: [
            "MARTLET_SERVER": server.api.address, "PATH": "\(folder):/usr/bin:/bin", "ARCHIVE_ROOT": scene.folder.path,
          ])
        let id = try await server.api.submit(#"{"type": "archive", "payload": "photos"}"#)
        let task = try await server.api.task(id, becomes: "SUCCESS")
        #expect(task["result"]?["archive"]?.string == "photos.tar.gz")
        #expect(task["result"]?["bytes"]?.int ?? 0 > 0)
        #expect(try await scene.system("tar", ["-tzf", scene.file("photos.tar.gz").path]).contains("martlet.txt"))
        let logs = try await server.api.attempts(of: id).first?["logs"]?.elements?.map(\.string)
        #expect(logs == ["archiving photos, attempt 1 of 4"])
        let wrong = try await server.api.submit(#"{"type": "archive", "payload": "../secrets"}"#)
        #expect(try await server.api.task(wrong, becomes: "DEAD")["reason"]?.string == "NON_RETRYABLE")
        let early = try await server.api.submit(
          #"{"type": "archive", "payload": "later", "backoff": {"baseSeconds": 600}}"#)
        #expect(try await server.api.task(early, becomes: "RETRY")["lastError"]?["type"]?.string == "EXIT_75")
        worker.signal(SIGTERM)
        #expect(try await worker.ended() == .exited(0))
      }
    }

    @Test func `the Python worker greets, renews, fails and is cancelled`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        let worker = try Self.python(scene, server)
        let quick = try await server.api.submit(#"{"type": "greet", "payload": {"names": ["Ada", "Grace"]}}"#)
        let task = try await server.api.task(quick, becomes: "SUCCESS")
        #expect(task["result"]?["greetings"]?.elements?.map(\.string) == ["Hello, Ada!", "Hello, Grace!"])
        let logs = try await server.api.attempts(of: quick).first?["logs"]?.elements?.map(\.string)
        #expect(logs == ["hello, Ada", "hello, Grace"])
        let workers = try await server.api.found("/workers")["data"]?.elements ?? []
        #expect(workers.contains { $0["kind"]?.string == "remote" && $0["types"]?.elements?.first?.string == "greet" })

        let long = try await server.api.submit(
          #"{"type": "greet", "payload": {"names": ["A", "B", "C"], "secondsEach": 7}, "leaseSeconds": 15}"#)
        try await eventually("its progress is stored") {
          try await server.api.task(long)["progress"]?["percent"]?.double ?? 0 > 0
        }
        #expect(try await server.api.task(long, becomes: "SUCCESS")["attempt"]?.int == 1, "it was renewed")

        let wrong = try await server.api.submit(#"{"type": "greet", "payload": {"names": 7}}"#)
        let dead = try await server.api.task(wrong, becomes: "DEAD")
        #expect(dead["lastError"]?["type"]?.string == "Permanent")
        #expect(dead["lastError"]?["stack"]?.string?.contains("Traceback") == true)

        let endless = try await server.api.submit(
          #"{"type": "greet", "payload": {"names": ["A", "B"], "secondsEach": 600}, "leaseSeconds": 5}"#)
        try await server.api.task(endless, becomes: "RUNNING")
        _ = try await server.api.post("/tasks/\(endless)/cancel")
        try await server.api.task(endless, becomes: "CANCELLED")

        worker.signal(SIGTERM)
        #expect(try await worker.ended() == .exited(0))
      }
    }

    @Test func `a Swift worker far away runs the handlers that a server runs`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        let worker = try scene.start(
          Tool.built("RemoteSwiftWorker"), [], environment: ["MARTLET_SERVER": server.api.address])
        let id = try await server.api.submit(#"{"type": "measure", "payload": {"text": "the bird that never lands"}}"#)
        let task = try await server.api.task(id, becomes: "SUCCESS")
        #expect(task["result"]?["words"]?.int == 5)
        let wrong = try await server.api.submit(#"{"type": "measure", "payload": {"text": ""}}"#)
        #expect(try await server.api.task(wrong, becomes: "DEAD")["reason"]?.string == "BAD_PAYLOAD")
        let late = try await server.api.submit(
          #"{"type": "measure", "payload": {"text": "x", "seconds": 600}, "timeoutSeconds": 0.5, "retries": 0}"#)
        try await server.api.task(late, becomes: "DEAD")
        #expect(try await server.api.attempts(of: late).map { $0["outcome"]?.string } == ["TIMED_OUT"])
        worker.signal(SIGTERM)
        #expect(try await worker.ended() == .exited(0))
      }
    }

    // MARK: What can befall a worker

    @Test func `the tasks of a killed worker are LOST and carried out by another`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        let gate = scene.file("gate")
        let first = try Self.work(scene, server, Self.waits(for: gate), name: "first")
        let id = try await server.api.submit(#"{"type": "job", \#(Self.soon)}"#)
        try await eventually("it runs") { FileManager.default.fileExists(atPath: gate.path + ".begun") }
        first.signal(SIGKILL)
        _ = try await first.ended()
        try Data().write(to: gate)
        _ = try Self.work(scene, server, Self.waits(for: gate), name: "second")
        let task = try await server.api.task(id, becomes: "SUCCESS")
        #expect(task["worker"]?.string == "second")
        let outcomes = try await server.api.outcomes(of: id)
        #expect(outcomes.areSuccessAfterLost, "\(outcomes)")
        #expect(task["attempt"]?.int == outcomes.count)
      }
    }

    @Test func `a worker frozen past its lease comes too late, and stops`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        let gate = scene.file("gate")
        // With a slot free it would have a call waiting, and get the task a second time in its sleep.
        let first = try Self.work(
          scene, server, Self.waits(for: gate), name: "first", options: ["--concurrency", "1"])
        let id = try await server.api.submit(#"{"type": "job", \#(Self.soon)}"#)
        try await eventually("it runs") { FileManager.default.fileExists(atPath: gate.path + ".begun") }
        first.signal(SIGSTOP)
        try Data().write(to: gate)  // its command ends while it is frozen
        _ = try Self.work(scene, server, Self.waits(for: gate), name: "second")
        try await server.api.task(id, becomes: "SUCCESS")
        first.signal(SIGCONT)
        try await eventually("it sees that it is too late") {
          first.errors.contains("the lease was lost") || first.errors.contains("its lease could not be kept")
        }
        let task = try await server.api.task(id)
        #expect(task["worker"]?.string == "second")
        let outcomes = try await server.api.outcomes(of: id)
        #expect(outcomes.areSuccessAfterLost, "\(outcomes)")
        Chaos.report([("workers frozen past their lease", 1)], checked: [("attempts", outcomes.count)])
        first.signal(SIGTERM)
        #expect(try await first.ended() == .exited(0))
      }
    }

    @Test func `a timeout that is short beside the lease is all the command's`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        let worker = try Self.work(scene, server, ["sh", "-c", "sleep 1; echo done"])
        // On a loaded machine a shell may take longer to start; a command that gets less than its timeout fails at every attempt.
        let id = try await server.api.submit(
          #"{"type": "job", "timeoutSeconds": 2, "retries": 5, "backoff": {"baseSeconds": 0.05}}"#)
        let task = try await server.api.task(id, becomes: "SUCCESS")
        #expect(task["result"]?.string == "done")
        let late = try await server.api.submit(#"{"type": "job", "timeoutSeconds": 0.5, "retries": 0}"#)
        try await server.api.task(late, becomes: "DEAD")
        #expect(try await server.api.attempts(of: late).map { $0["outcome"]?.string } == ["TIMED_OUT"])
        worker.signal(SIGTERM)
        #expect(try await worker.ended() == .exited(0))
      }
    }

    @Test func `a cancel reaches the command as SIGTERM`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        let begun = scene.file("begun")
        let script = "trap 'echo told >&2; exit 1' TERM; touch \(begun.path); sleep 600 & wait"
        _ = try Self.work(scene, server, ["sh", "-c", script])
        let id = try await server.api.submit(#"{"type": "job", "leaseSeconds": 15}"#)
        try await eventually("it runs") { FileManager.default.fileExists(atPath: begun.path) }
        _ = try await server.api.post("/tasks/\(id)/cancel")
        let task = try await server.api.task(id, becomes: "CANCELLED")
        #expect(task["reason"]?.string == "REQUESTED")
        let attempt = try #require(try await server.api.attempts(of: id).first)
        #expect(attempt["outcome"]?.string == "CANCELLED")
        #expect(attempt["logs"]?.elements?.map(\.string) == ["told"])
      }
    }

    @Test(arguments: [SIGTERM, SIGKILL])
    func `a worker outlives its server, and goes on with the next`(signal: Int32) async throws {
      try await Scene.play { scene in
        let port = String(try freePort())
        let first = try await scene.serve(["--port", port])
        let gate = scene.file("gate")
        let worker = try Self.work(scene, first, Self.waits(for: gate))
        let held = try await first.api.submit(#"{"type": "job", "leaseSeconds": 30}"#)
        try await eventually("it runs") { FileManager.default.fileExists(atPath: gate.path + ".begun") }
        first.program.signal(signal)
        _ = try await first.program.ended()
        try Data().write(to: gate)  // the result has to wait for the next server
        try await eventually("it has tried in vain") { worker.errors.contains("cannot report") }
        let second = try await scene.serve(["--port", port])
        let task = try await second.api.task(held, becomes: "SUCCESS")
        #expect(task["attempt"]?.int == 1)
        let next = try await second.api.submit(#"{"type": "job"}"#)
        #expect(try await second.api.task(next, becomes: "SUCCESS")["attempt"]?.int == 1)
        worker.signal(SIGTERM)
        #expect(try await worker.ended() == .exited(0))
      }
    }

    @Test func `draining workers under load lose nothing and cost no retry`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        let gate = scene.file("gate")
        // One in five waits for the gate and outlasts the grace.
        let script =
          #"read -r number; [ $((number % 5)) -ne 0 ] || while [ ! -e "$0" ]; do sleep 0.05; done; echo "$number""#
        let command = ["sh", "-c", script, gate.path]
        var ids: [String] = []
        for number in 0..<60 {
          ids.append(try await server.api.submit(#"{"type": "job", "payload": \#(number), "retries": 1}"#))
        }
        for life in 1...3 {
          let worker = try Self.work(
            scene, server, command, name: "life-\(life)", options: ["--concurrency", "4", "--grace", "0.2"])
          try await eventually("it has begun something") {
            try await server.api.found("/tasks?worker=life-\(life)&limit=1000")["data"]?.elements?.isEmpty == false
          }
          worker.signal(SIGTERM)
          #expect(try await worker.ended() == .exited(0))
        }
        try Data().write(to: gate)
        _ = try Self.work(scene, server, command, name: "last", options: ["--concurrency", "4"])
        var released = 0
        for id in ids {
          let task = try await server.api.task(id, becomes: "SUCCESS")
          #expect(task["retriesLeft"]?.int == 1)
          let outcomes = try await server.api.attempts(of: id).map { $0["outcome"]?.string ?? "" }
          #expect(outcomes.dropLast().allSatisfy { $0 == "RELEASED" }, "\(outcomes)")
          released += outcomes.count { $0 == "RELEASED" }
        }
        Chaos.report([("drains of workers", 3), ("attempts given back", released)], checked: [("tasks", ids.count)])
      }
    }

    // MARK: Programs

    private static func example(_ path: String) -> URL {
      URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../Examples/\(path)")
        .standardizedFileURL
    }

    /// Foundation starts programs with all signals blocked, which no shell does and Python leaves so.
    private static func python(_ scene: Scene, _ server: Server) throws -> Program {
      let unblock =
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_SETMASK, []); os.execv(*[sys.argv[1], sys.argv[1:]])"
      return try scene.start(
        Tool.installed("python3"), ["-c", unblock, example("PythonWorker/worker.py").path],
        environment: ["MARTLET_SERVER": server.api.address, "PYTHONDONTWRITEBYTECODE": "1"])
    }

    /// `martlet work` for tasks of the type `job`.
    private static func work(
      _ scene: Scene, _ server: Server, _ command: [String], name: String = "worker", options: [String] = []
    ) throws -> Program {
      try scene.start(
        Tool.built("martlet"),
        ["work", "--type", "job", "--name", name, "--server", server.api.address] + options + ["--"] + command)
    }

    /// Says that it has begun, and ends when the file is there.
    private static func waits(for gate: URL) -> [String] {
      ["sh", "-c", #"touch "$0.begun"; while [ ! -e "$0" ]; do sleep 0.02; done"#, gate.path]
    }
  }
}
