// A configuration that changes under a server at work: what is valid counts without a restart, what is not changes nothing.

internal import AWSServer
internal import Foundation
internal import MartletCore
internal import NIOHTTP1
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

    @Test func `an invalid file under load changes nothing, and every task has the defaults of one version`()
      async throws
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
        #expect(try await server.api.becomesReady().text.contains("refused for 1 fault"))
        #expect(server.program.errors.contains("must be a whole number"))
        let known = try await Self.retries(of: server.api)
        #expect(known.map { $0 >= 1 && $0 <= 40 } == true)
        try Self.write(yaml(77), in: scene)
        try await eventually("it is valid again") { try await Self.retries(of: server.api) == 77 }
      }
    }

    // MARK: For all nodes

    private static func setting(_ key: String, of api: API) async throws -> (value: String, source: String)? {
      let row = try await api.found("/settings")["settings"]?.elements?.first { $0["key"]?.string == key }
      return row.map { (String(decoding: $0["value"]?.bytes ?? [], as: UTF8.self), $0["source"]?.string ?? "") }
    }

    @Test func `what is set for all nodes counts on each, also on one that starts later, and can be taken back`()
      async throws
    {
      try await Scene.play { scene in
        let database = try await DatabaseServer(on: try await scene.postgres())
        func node(_ environment: [String: String] = [:]) async throws -> Server {
          try await scene.serve(["--database", database.url], environment: environment)
        }
        let one = try await node()
        let two = try await node(["MARTLET_TASKS_LEASE_SECONDS": "44"])
        let set = try await one.api.patch(
          "/settings", #"{"tasks": {"maxRetries": 9, "leaseSeconds": 20}, "log.level": "debug"}"#)
        #expect(set.status == 200)
        #expect(try await Self.retries(of: one.api) == 9, "at once where it was asked for")
        try await eventually("the other node has it") { try await Self.retries(of: two.api) == 9 }
        let mine = try await Self.setting("tasks.leaseSeconds", of: two.api)
        #expect(mine?.value == "44" && mine?.source == "MARTLET_TASKS_LEASE_SECONDS")
        let three = try await node()
        #expect(try await Self.retries(of: three.api) == 9)

        let refused = try await two.api.patch(
          "/settings", #"{"tasks.maxRetries": 1000, "database.url": "sqlite:x", "auth.jwt.secret": "s"}"#)
        #expect(refused.status == 422)
        #expect(try refused.json()["errors"]?.elements?.count == 3)
        #expect(try await Self.retries(of: one.api) == 9)

        // By the command line, through another node.
        let (ending, program) = try await scene.martlet(["settings", "revert", "--server", two.api.address])
        #expect(ending == .exited(0) && program.output.contains("nothing is set for all nodes"), "\(program.errors)")
        try await eventually("all have let go of it") {
          var retries: [Int?] = []
          for api in [one.api, two.api, three.api] { retries.append(try await Self.retries(of: api)) }
          return retries == [3, 3, 3]
        }
        let history = try await scene.martlet(["settings", "history", "--server", one.api.address]).program.output
        #expect(history.contains("tasks.maxRetries=9"))
      }
    }

    @Test func `a node whose own configuration forbids what is set for all says so and serves on`() async throws {
      try await Scene.play { scene in
        let database = try await DatabaseServer(on: try await scene.postgres())
        let one = try await scene.serve(["--database", database.url])
        let two = try await scene.serve(
          ["--database", database.url],
          environment: ["MARTLET_SERVER_MAX_BODY_BYTES": "4000", "MARTLET_TASKS_MAX_PAYLOAD_BYTES": "3000"])
        let three = try await scene.serve(
          ["--database", database.url, "--config", try Self.small(in: scene)])
        #expect(
          try await one.api.patch("/settings", #"{"tasks": {"maxPayloadBytes": 9000, "maxRetries": 7}}"#).status == 200)
        try await eventually("the node with a variable of its own takes the rest") {
          try await Self.retries(of: two.api) == 7
        }
        try await eventually("the one whose limits it breaks refuses") {
          try await three.api.get("/health/ready").text.contains("refused for 1 fault")
        }
        try await three.api.becomesReady()
        #expect(try await Self.retries(of: three.api) == 3)
        #expect(try await three.api.get("/metrics").text.contains("martlet_config_revision 0"))
        // It starts all the same.
        #expect(try await three.stop() == .exited(0))
        let again = try await scene.serve(["--database", database.url, "--config", try Self.small(in: scene)])
        #expect(try await Self.retries(of: again.api) == 3)
        #expect(again.program.errors.contains("the configuration is refused"))
        #expect(try await one.api.patch("/settings", #"{"tasks.maxPayloadBytes": null}"#).status == 200)
        try await eventually("it has the rest now") { try await Self.retries(of: again.api) == 7 }
      }
    }

    private static func small(in scene: Scene) throws -> String {
      let file = scene.file("small.yaml")
      try Data("server: {maxBodyBytes: 4000}\ntasks: {maxPayloadBytes: 3000}".utf8).write(to: file)
      return file.path
    }

    // MARK: AWS SSM

    @Test func `parameters count at the start and when they change, and stay while SSM is away`() async throws {
      try await Scene.play { scene in
        let aws = try await AWSServer.start()
        try await aws.put("/prod/martlet/tasks/maxRetries", "5")
        try await aws.put(
          "/prod/martlet/notifications/webhook/secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", .secret)
        try Self.write(
          "config: {reloadSeconds: 0.2, ssm: {path: /prod/martlet, endpoint: \"\(aws.endpoint)\"}}", in: scene)
        let server = try await scene.serve(environment: aws.environment)
        #expect(try await Self.retries(of: server.api) == 5)
        try await aws.put("/prod/martlet/tasks/maxRetries", "6")
        try await eventually("the new value counts") { try await Self.retries(of: server.api) == 6 }
        #expect(
          try await Self.setting("tasks.maxRetries", of: server.api)?.source == "ssm:/prod/martlet/tasks/maxRetries")

        let shown = try await scene.martlet(["config", "show"], environment: aws.environment).program.output
        #expect(shown.contains("ssm:/prod/martlet/tasks/maxRetries") && !shown.contains("MfKQ9r8GKYqr"))
        try await aws.put("/prod/martlet/tasks/maxRetry", "7")
        let check = try await scene.martlet(["config", "check"], environment: aws.environment)
        #expect(check.ending == .exited(2) && check.program.errors.contains("did you mean tasks.maxRetries?"))
        try await eventually("it is refused") {
          try await server.api.get("/health/ready").text.contains("refused for 1 fault")
        }
        try await aws.delete("/prod/martlet/tasks/maxRetry")
        try await eventually("it is valid again") {
          try await !server.api.get("/health/ready").text.contains("refused")
        }

        await aws.stop()
        try await eventually("it says that SSM is away") {
          try await server.api.get("/health/ready").text.contains("AWS SSM cannot be asked")
        }
        #expect(try await Self.retries(of: server.api) == 6)
        #expect(try await server.api.get("/metrics").text.contains(#"martlet_config_reloads_total{result="failed"} 1"#))
        #expect(!server.program.errors.contains("MfKQ9r8GKYqr"))
        #expect(try await server.stop() == .exited(0))
        try await scene.refuses(
          ["serve", "--port", "0"], "config.ssm.path", status: 2, environment: aws.environment)
      }
    }

    @Test func `with a wrong secret the server does not start`() async throws {
      try await Scene.play { scene in
        let aws = try await AWSServer.start()
        var environment = aws.environment
        environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
        environment["MARTLET_CONFIG_SSM_PATH"] = "/prod/martlet"
        environment["MARTLET_CONFIG_SSM_ENDPOINT"] = aws.endpoint
        try await scene.refuses(["serve", "--port", "0"], "SSM answered 4", status: 2, environment: environment)
        await aws.stop()
      }
    }
  }
}
