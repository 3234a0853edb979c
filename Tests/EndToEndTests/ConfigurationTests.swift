// A configuration that changes under a server at work: what is valid counts without a restart, what is not changes nothing.

internal import Foundation
internal import MartletCore
internal import Testing

extension EndToEnd {
  @Suite("Configuration")
  struct ConfigurationTests {
    private static func write(_ yaml: String, in scene: Scene) throws {
      try Data(yaml.utf8).write(to: scene.file("martlet.yaml"), options: .atomic)
    }

    private static func retries(of api: API) async throws -> Int? {
      try await api.task(api.submit(#"{"type": "nobody-knows-it"}"#))["retries"]?.int
    }

    @Test func `a changed file counts without a restart, and what needs one is told`() async throws {
      try await Scene.play { scene in
        try Self.write("tasks: {maxRetries: 5}\nconfig: {reloadSeconds: 0.2}", in: scene)
        let server = try await scene.serve()
        #expect(try await Self.retries(of: server.api) == 5)
        try Self.write(
          "tasks: {maxRetries: 8}\nlog: {format: json}\nworkers: {concurrency: 2}\nconfig: {reloadSeconds: 0.2}",
          in: scene)
        try await eventually("the new default counts") { try await Self.retries(of: server.api) == 8 }
        #expect(try await server.api.get("/health/ready").text.contains("needs a restart: log.format"))
        #expect(server.program.errors.contains("the configuration was changed"))
        let metrics = try await server.api.get("/metrics").text
        #expect(metrics.contains(#"martlet_config_reloads_total{result="applied"} 1"#))
        #expect(metrics.contains("martlet_config_good 1"))
        #expect(try await server.stop() == .exited(0))
      }
    }

    @Test func `SIGHUP has the configuration read at once`() async throws {
      try await Scene.play { scene in
        try Self.write("tasks: {maxRetries: 5}\nconfig: {reloadSeconds: 0}", in: scene)
        let server = try await scene.serve()
        try Self.write("tasks: {maxRetries: 6}\nconfig: {reloadSeconds: 0}", in: scene)
        server.program.signal(SIGHUP)
        try await eventually("the new default counts") { try await Self.retries(of: server.api) == 6 }
      }
    }

    @Test func `an invalid file under load changes nothing, and every task has the defaults of one version`() async throws
    {
      try await Scene.play { scene in
        // Of one version: lease = retries + 1 seconds.
        func yaml(_ number: Int, _ more: String = "") -> String {
          "tasks: {maxRetries: \(number), leaseSeconds: \(number + 1)}\nconfig: {reloadSeconds: 0.02}\n\(more)"
        }
        try Self.write(yaml(1), in: scene)
        let server = try await scene.serve()
        let ids = try await withThrowingTaskGroup(of: [String].self) { group in
          for _ in 0..<4 {
            group.addTask {
              var ids: [String] = []
              for _ in 0..<200 { ids.append(try await server.api.submit(#"{"type": "nobody-knows-it"}"#)) }
              return ids
            }
          }
          for number in 2...40 {
            try Self.write(yaml(number), in: scene)
            try await Task.sleep(for: .milliseconds(10))
            try Self.write(yaml(number + 1, "workers: {concurrency: many}"), in: scene)
            try await Task.sleep(for: .milliseconds(10))
          }
          return try await group.reduce(into: []) { $0 += $1 }
        }
        #expect(ids.count == 800, "no request failed")
        for task in try await server.api.allTasks() {
          #expect(task["leaseSeconds"]?.double == (task["retries"]?.double).map { $0 + 1 })
        }
        // It ends with an invalid file: the node serves on, and says so.
        try await eventually("it is refused") {
          try await server.api.get("/metrics").text.contains("martlet_config_good 0")
        }
        let ready = try await server.api.get("/health/ready")
        #expect(ready.status == 200 && ready.text.contains("refused for 1 fault"))
        #expect(server.program.errors.contains("must be a whole number"))
        let known = try await Self.retries(of: server.api)
        #expect(known.map { $0 >= 1 && $0 <= 40 } == true)
        try Self.write(yaml(77), in: scene)
        try await eventually("it is valid again") { try await Self.retries(of: server.api) == 77 }
      }
    }
  }
}
