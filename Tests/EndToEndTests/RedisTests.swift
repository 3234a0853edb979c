// Redis beside the database: nodes that use it lose nothing and do nothing twice whatever happens to it, and its being away is told.

internal import Foundation
internal import MartletCore
internal import NIOHTTP1
internal import PostgresServer
internal import RedisServer
internal import ScriptedServer
internal import Testing

extension EndToEnd {
  @Suite("Redis", .timeLimit(.minutes(30)))
  struct RedisTests {
    @Test func `two nodes under load lose nothing and do nothing twice, whatever happens to Redis`() async throws {
      try await Self.playing { stage in
        let load = stage.load
        try await load.run(clients: 4) {
          try await stage.works()
          try await stage.dispatches()
          for _ in 0..<Self.flushes {
            try await stage.redis.flush()
            try await Task.sleep(for: .milliseconds(100))
          }
          try await stage.works()

          await stage.redis.kill()
          try await stage.works()
          try await stage.isTold(of: true)
          try await stage.redis.startAgain()
          try await stage.works()
          try await stage.dispatches()
          try await stage.isTold(of: false)

          stage.redis.pause()
          try await stage.works()
          try await stage.isTold(of: true)
          stage.redis.resume()
          try await stage.dispatches()

          let before = try await stage.fallbacks()
          _ = try await stage.redis.command(["CLIENT", "PAUSE", "4000", "ALL"])
          try await stage.works()
          try await eventually("the store is asked instead") { try await stage.fallbacks() > before }
          try await stage.dispatches()

          _ = try await stage.redis.command(["CONFIG", "SET", "maxmemory", "1"])
          try await stage.works()
          try await eventually("the refusal is told") {
            try await stage.component(of: stage.nodes[0])?["detail"]?.string?.contains("OOM") == true
          }
          _ = try await stage.redis.command(["CONFIG", "SET", "maxmemory", "0"])
          try await stage.works()
          try await stage.dispatches()
        }
        try await eventually("all tasks are final", within: .seconds(600)) {
          try await stage.database.restless() == 0
        }
        let api = try #require(stage.nodes[0].api)
        let effects = stage.target.requests.map { Checker.Effect(headers: $0.headers) }
        let checker = try await Checker(
          journal: load.journal.book, effects: effects, api: api, database: stage.database)
        #expect(checker.summary() == [])
        #expect(try await stage.database.faults() == [])
        #expect(load.journal.book.acknowledged.count > 300)
        // Away twice on each of two nodes.
        let told = stage.nodes.reduce(0) { $0 + $1.lines(with: "Redis at", "until it is back") }
        Chaos.report(
          [("FLUSHALL", Self.flushes), ("kill -9, SIGSTOP, CLIENT PAUSE and full memory", 1), ("times told of", told)],
          checked: [("acknowledged", load.journal.acknowledged), ("effects", effects.count)])
        for node in stage.nodes {
          #expect(node.lines(with: "Redis at", "until it is back") >= 2)
          #expect(try await node.stop() == .exited(0))
        }
      }
    }

    @Test func `equal submissions to two nodes give one task while Redis forgets all the time`() async throws {
      try await Self.playing { stage in
        let apis = stage.nodes.compactMap(\.api)
        let answers = try await withThrowingTaskGroup(of: (key: Int, reply: Reply)?.self) { group in
          for number in 0..<400 {
            let key = number % 20
            group.addTask { (key, try await apis[number % 2].post("/tasks", Self.mail(key))) }
          }
          group.addTask {
            for _ in 0..<20 { try await stage.redis.flush() }
            return nil
          }
          var answers: [(key: Int, reply: Reply)] = []
          for try await answer in group { if let answer { answers.append(answer) } }
          return answers
        }
        #expect(answers.allSatisfy { [200, 201].contains($0.reply.status) })
        #expect(answers.count { $0.reply.status == 201 } == 20)
        for (key, its) in Dictionary(grouping: answers, by: \.key) {
          #expect(try Set(its.map { try $0.reply.json()["id"]?.string }).count == 1, "key \(key)")
        }
        // From here on Redis knows them: it is asked, and the answer is the same.
        let again = try await apis[0].post("/tasks", Self.mail(3))
        #expect(again.status == 200)
        #expect(again.headers.first(name: "Idempotent-Replayed") == "true")
        let other = try await apis[1].post("/tasks", #"{"type": "email", "idempotencyKey": "key-3"}"#)
        #expect(other.status == 422)
      }
    }

    @Test func `nodes that have nothing to do do not ask the database for work`() async throws {
      try await Self.playing { stage in
        let node = stage.nodes[0]
        let id = try await #require(node.api).submit(Self.task(0, calling: stage.target.address))
        try await #require(node.api).task(id, becomes: "SUCCESS")
        try await stage.dispatches { _ = try await node.api?.submit(Self.task(1, calling: stage.target.address)) }
        try await stage.nodes[0].api?.allAreAtRest()
        func calls(_ operation: String) async throws -> Double {
          try await stage.sum("martlet_store_seconds_count{operation=\"\(operation)\"}")
        }
        // Until what the last tasks have stirred up has settled.
        var claims = -1.0
        try await eventually("no claims any more between one sweep and the next but one") {
          let (before, sweeps) = (try await calls("claim"), try await calls("claimable"))
          try await eventually("two sweeps") { try await calls("claimable") >= sweeps + 2 }
          claims = try await calls("claim")
          return claims == before
        }
      }
    }

    @Test func `a wrong password is told in one line and stops nothing`() async throws {
      try await Scene.play { scene in
        let redis = try await RedisServer.start(password: "right")
        let server = try await scene.serve(environment: ["MARTLET_REDIS_URL": redis.url(credentials: ":wrong-secret@")])
        let id = try await server.api.submit(#"{"type": "email", "payload": {"to": "a@example.com", "subject": "s"}}"#)
        try await server.api.task(id, becomes: "SUCCESS")
        try await eventually("the trouble is told") {
          let ready = try await server.api.get("/health/ready")
          return ready.status == 200 && ready.text.contains("WRONGPASS")
        }
        #expect(try await server.stop() == .exited(0))
        let lines = server.program.errorLines.filter { $0.contains("Redis") }
        #expect(lines.count == 1 && lines[0].contains("WRONGPASS"), "\(lines)")
        #expect(!server.program.errors.contains("wrong-secret"))
        await redis.remove()
        try await scene.refuses(
          ["serve", "--port", "0"], "redis.url", status: 2, environment: ["MARTLET_REDIS_URL": "http://redis"])
      }
    }

    // As in a container: tests run as root, who may set options of sockets that others may not.
    @Test func `a node without a capability uses Redis too`() async throws {
      try await Scene.play { scene in
        let redis = try await RedisServer.start()
        let node = try scene.start(
          Tool.installed("setpriv"),
          [
            "--bounding-set=-all", "--inh-caps=-all", Tool.built("martlet").path, "serve", "--port", "0", "--database",
            "sqlite::memory:",
          ], environment: ["MARTLET_REDIS_URL": redis.url()])
        let address = try await eventually("the node serves") { node.bannerValue("address") }
        try await eventually("it uses Redis") {
          let ready = try await API(address: address).get("/health/ready").json()
          let component = ready["components"]?.elements?.first { $0["name"]?.string == "redis" }
          return component?["status"]?.string == "ok"
        }
        #expect(!node.errors.contains("Redis at"), "\(node.errors)")
        node.signal(SIGTERM)
        #expect(try await node.ended() == .exited(0))
        await redis.remove()
      }
    }

    @Test func `a credential's requests are counted over all nodes, and on each where Redis is away`() async throws {
      let key = "the-first-key-of-this-installation"
      let environment = [
        "MARTLET_AUTH_BOOTSTRAP_KEY": key, "MARTLET_RATE_LIMIT_PER_SECOND": "0.001", "MARTLET_RATE_LIMIT_BURST": "20",
      ]
      let expected = Array(repeating: 200, count: 20) + Array(repeating: 429, count: 10)
      var statuses: [Int] = []
      // Where Redis does not answer within a second a node counts by itself: on a loaded machine it may take another try.
      for _ in 0..<3 where statuses != expected {
        statuses = []
        try await Self.playing(environment) { stage in
          let apis = stage.nodes.compactMap { $0.api.map { API(address: $0.address, key: key) } }
          for number in 0..<30 { statuses.append(try await apis[number % 2].get("/tasks").status) }
          guard statuses == expected else { return }
          await stage.redis.kill()
          #expect(try await apis[0].get("/tasks").status == 200, "its own bucket is full")
        }
      }
      #expect(statuses == expected)
    }

    private static let flushes = 20

    // MARK: The stage

    private struct Stage: Sendable {
      let nodes: [Node]
      let database: DatabaseServer
      let redis: RedisServer
      let target: ScriptedServer
      let load: Load

      /// Some more tasks are carried out.
      func works() async throws {
        let goal = target.requests.count + 40
        try await eventually("tasks are carried out") { target.requests.count >= goal }
      }

      /// Redis names tasks to claims, and the store gives them out.
      func dispatches(beside: () async throws -> Void = {}) async throws {
        let before = try await sum("martlet_dispatched_total{result=\"claimed\"}")
        try await eventually("Redis is asked for work") {
          try await beside()
          return try await sum("martlet_dispatched_total{result=\"claimed\"}") > before
        }
      }

      func fallbacks() async throws -> Double { try await sum("martlet_dispatch_fallbacks_total") }

      /// Over all nodes.
      func sum(_ metric: String) async throws -> Double {
        var sum = 0.0
        for node in nodes {
          let text = try await node.api?.get("/metrics").text ?? ""
          let line = text.split(separator: "\n").first { $0.hasPrefix(metric + " ") }
          sum += line.flatMap { Double($0.split(separator: " ").last ?? "") } ?? 0
        }
        return sum
      }

      /// Of a node that can serve.
      func component(of node: Node) async throws -> JSONSlice? {
        let reply = try await #require(node.api).becomesReady()
        return try reply.json()["components"]?.elements?.first { $0["name"]?.string == "redis" }
      }

      func isTold(of trouble: Bool) async throws {
        for node in nodes {
          try await eventually("\(node.name) tells of Redis") {
            try await component(of: node)?["status"]?.string == (trouble ? "failing" : "ok")
          }
        }
      }
    }

    private static func playing(
      _ environment: [String: String] = [:], _ body: (Stage) async throws -> Void
    ) async throws {
      try await Scene.play { scene in
        let redis = try await RedisServer.start()
        let database = try await DatabaseServer(on: try await scene.postgres())
        do {
          try await ScriptedServer.serving({ _, _ in .json(200, "{}") }) { target in
            let address = target.address
            let nodes = ["one", "two"].map { name in
              Node(name, roles: "api,scheduler,worker", database: database.url, executable: "martlet", in: scene)
            }
            for node in nodes {
              try await node.start(environment.merging(["MARTLET_REDIS_URL": redis.url()]) { $1 })
            }
            let load = Load(pause: .milliseconds(20)) { task($0, calling: address) }
            load.aim(at: nodes.compactMap(\.api))
            try await body(Stage(nodes: nodes, database: database, redis: redis, target: target, load: load))
          }
        } catch {
          await redis.remove()
          throw error
        }
        await redis.remove()
      }
    }

    private static func mail(_ key: Int) -> String {
      """
      {"type": "email", "payload": {"to": "a@example.com", "subject": "\(key)"}, "idempotencyKey": "key-\(key)"}
      """
    }

    private static func task(_ number: Int, calling address: String) -> String {
      """
      {"type": "WEBHOOK_CALL", "metadata": {"number": "\(number)"}, "payload": {"url": "\(address)/effects"},
       "priority": \(1 + number % 9), "delaySeconds": \(number % 5 == 0 ? 0.3 : 0)}
      """
    }
  }
}
