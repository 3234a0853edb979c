// What operators see: the dashboards and alerts of deploy/ against a real server, scraped by a real Prometheus.

internal import ChildProcess
internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import RedisServer
internal import ScriptedServer
internal import Testing

extension EndToEnd {
  @Suite("Monitoring", .timeLimit(.minutes(30)))
  struct MonitoringTests {
    @Test
    func `every metric of dashboards and alerts is in a scrape, as the page on metrics has it, and promtool agrees`()
      async throws
    {
      try await Stage.play { stage in
        try await stage.doABitOfEverything()
        let scrape = try await stage.server.api.get("/metrics")
        #expect(scrape.status == 200)
        let series = scrape.text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map(Series.init)
        let names = Set(series.map(\.name))
        let documented = try Deploy.documented()
        for file in try Deploy.files() {
          for name in Deploy.metrics(in: try String(contentsOf: file, encoding: .utf8))
          where !Deploy.rare.contains(name) {
            #expect(names.contains(name), "\(name) of \(file.lastPathComponent)")
          }
        }

        for one in series {
          let labels = try #require(documented[one.metric(among: documented.keys)], "\(one.name)")
          #expect(one.labels.subtracting(["le"]) == labels, "\(one.name)")
        }

        try Data(scrape.body).write(to: stage.scene.file("scrape"))
        let command = "\(try Tool.installed("promtool").path) check metrics < scrape"
        let (ending, promtool) = try await stage.scene.run(Tool.installed("sh"), ["-c", command])
        #expect(ending == .exited(0))
        #expect(promtool.output + promtool.errors == "")
      }
    }

    @Test func `Prometheus has an answer to every question of the dashboards, and alerts fire when there is reason`()
      async throws
    {
      try await Stage.play { stage in
        try await stage.doABitOfEverything()
        let prometheus = try await Prometheus.start(in: stage.scene, target: stage.server.api.address)
        var open = try Deploy.questions()
        #expect(open.count > 50)
        try await eventually("Prometheus has answers") {
          _ = try await stage.server.api.submit(Stage.failing)
          _ = try await stage.server.api.get("/tasks/none")
          for question in open {
            let answers = try await prometheus.series(of: question)
            if answers > 0 { open.remove(question) }
          }
          open = open.filter { !Deploy.mayBeEmpty($0) }
          return open.isEmpty
        }

        let sick = try await prometheus.sickRules()
        #expect(sick == [])
        try await eventually("a type that nobody handles is told") {
          try await prometheus.firing().contains("MartletNoWorker misspelt docs/operations/runbooks.md#martletnoworker")
        }
        try await eventually("dead letters are told") {
          try await prometheus.firing().contains { $0.hasPrefix("MartletDeadLetters FAIL_SOMETIMES ") }
        }
        // One that fired for a moment, after a scrape or an answer that took too long, does not stay.
        try await eventually("what is there is said to be there") {
          let firing = try await prometheus.firing().map { $0.prefix { $0 != " " } }
          let down: Set<Substring> = ["MartletDown", "MartletNodeDown", "MartletStoreDown", "MartletRedisDown"]
          return down.isDisjoint(with: firing)
        }

        await stage.redis.kill()
        try await eventually("Redis that is gone is told") {
          try await prometheus.firing().contains { $0.hasPrefix("MartletRedisDown ") }
        }
        try await stage.server.kill()
        for alert in ["MartletNodeDown", "MartletDown"] {
          try await eventually("\(alert) fires") {
            try await prometheus.firing().contains { $0.hasPrefix("\(alert) ") }
          }
        }
      }
    }

    @Test func `a scrape is answered while the database is away, and says so`() async throws {
      try await Scene.play { scene in
        let postgres = try await scene.postgres(durable: false)
        let database = try await DatabaseServer(on: postgres)
        let api = try await scene.serve(["--database", database.url, "--durability", "relaxed"]).api
        _ = try await api.submit(#"{"type": "misspelt"}"#)
        func scrape() async throws -> String {
          let reply = try await api.get("/metrics")
          #expect(reply.status == 200)
          return reply.text
        }
        let ready = #"martlet_queue_tasks{queue="default",status="READY"} 1"#
        try await eventually("the task is counted") { try await scrape().contains(ready) }
        #expect(try await scrape().contains("\nmartlet_store_up 1\n"))

        try await postgres.stop(.immediate)
        try await eventually("the database is said to be down") {
          try await scrape().contains("\nmartlet_store_up 0\n")
        }
        #expect(try await scrape().contains(ready), "what was counted last")
        try await postgres.startAgain()
        try await eventually("the database is said to be up") { try await scrape().contains("\nmartlet_store_up 1\n") }
      }
    }

    @Test func `a node that does not serve the API is watched at its metrics port, by the same credentials`()
      async throws
    {
      try await Scene.play { scene in
        let database = try await DatabaseServer(on: PostgresServer.shared)
        let key = "a-bootstrap-key-of-more-than-32-characters"
        let shared = [
          "MARTLET_DATABASE_URL": database.url, "MARTLET_DATABASE_DURABILITY": "relaxed",
          "MARTLET_AUTH_BOOTSTRAP_KEY": key, "MARTLET_TELEMETRY_METRICS_PORT": "0",
        ]
        var server = try await scene.serve(["--roles", "api,scheduler"], environment: shared).api
        server.key = key
        let worker = try scene.start(Tool.built("martlet"), ["serve", "--roles", "worker"], environment: shared)
        let banner = try await eventually("the worker serves") { worker.bannerValue("metrics") }
        #expect(worker.bannerValue("address") == nil)
        var watched = API(address: String(banner.dropLast("/metrics".count)))
        #expect(try await watched.get("/health/live").status == 200)
        try await watched.becomesReady()
        #expect(try await watched.get("/metrics").status == 401)
        watched.key = key
        #expect(try await watched.get("/tasks").status == 404)

        let id = try await server.submit(#"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}"#)
        try await server.task(id, becomes: "SUCCESS")
        let success = #"martlet_attempts_total{outcome="SUCCESS",queue="default",type="FAIL_SOMETIMES"} 1"#
        try await eventually("the worker tells what it has done") {
          let text = try await watched.get("/metrics").text
          return text.contains(success) && text.contains("\nmartlet_worker_slots 32\n")
        }
        let others = try await server.get("/metrics").text
        #expect(!others.contains(success) && !others.contains("martlet_worker_slots"), "each tells its own")
        #expect(others.contains("\nmartlet_workers 1\n"))

        worker.signal(SIGTERM)
        #expect(try await worker.ended() == .exited(0))
      }
    }
  }
}

// MARK: What is deployed

/// The files of deploy/ and what they say.
private enum Deploy {
  /// Counted only where a configuration is reloaded while the server runs.
  static let rare: Set = ["martlet_config_reloads_total"]

  private static let root = URL(fileURLWithPath: #filePath).appendingPathComponent("../../..").standardized

  static func file(_ path: String) -> URL { root.appendingPathComponent(path) }

  /// Dashboards and rules.
  static func files() throws -> [URL] {
    let folders = ["deploy/grafana/dashboards", "deploy/prometheus"]
    let files = try folders.flatMap { folder in
      try FileManager.default.contentsOfDirectory(at: file(folder), includingPropertiesForKeys: nil)
    }
    .filter { $0.path.hasSuffix(".json") || $0.path.hasSuffix(".rules.yml") }
    #expect(files.count >= 5)
    return files
  }

  /// Without those that rules make.
  static func metrics(in text: String) -> Set<String> {
    Set(
      text.replacing(/job:[a-z0-9_:]+/, with: "").matches(of: /\b(martlet|process)_[a-z0-9_]+/).map {
        String($0.output.0)
      })
  }

  /// The labels of each metric, by the table of the page.
  static func documented() throws -> [String: Set<String>] {
    let page = try String(contentsOf: file("docs/operations/metrics.md"), encoding: .utf8)
    var documented: [String: Set<String>] = [:]
    for line in page.split(separator: "\n") {
      guard let row = line.firstMatch(of: /^\| `([a-z_]+)` \| [a-z]+ \| ([^|]*) \|/) else { continue }
      documented[String(row.output.1)] = Set(row.output.2.matches(of: /[a-z]+/).map { String($0.output) })
    }
    return documented
  }

  /// What the dashboards ask, with everything chosen.
  static func questions() throws -> Set<String> {
    var questions: Set<String> = []
    for file in try files() where file.pathExtension == "json" {
      let board = try JSONScanner.scan(Array(try Data(contentsOf: file)))
      for panel in board["panels"]?.elements ?? [] {
        for target in panel["targets"]?.elements ?? [] {
          let expression = try #require(target["expr"]?.string)
          questions.insert(
            expression.replacing("$__rate_interval", with: "20s").replacing(/\$(job|instance|queue|type)\b/, with: ".*")
          )
        }
      }
    }
    return questions
  }

  /// No request fails by Martlet's own fault here, and no worker dies.
  static func mayBeEmpty(_ question: String) -> Bool {
    question.contains("martlet_http_errors") || question.contains(#"outcome="LOST""#)
  }
}

/// A line of a scrape.
private struct Series {
  let name: String
  let labels: Set<String>

  init(_ line: Substring) {
    name = String(line.prefix { $0 != "{" && $0 != " " })
    labels = Set(line.matches(of: /[{,]([a-z_]+)="/).map { String($0.output.1) })
  }

  /// What it belongs to: a histogram has three kinds of series.
  func metric(among known: some Collection<String>) -> String {
    if known.contains(name) { return name }
    for suffix in ["_bucket", "_sum", "_count"] where name.hasSuffix(suffix) {
      return String(name.dropLast(suffix.count))
    }
    return name
  }
}

// MARK: The stage

/// A server with all that it can have beside it without much ado: Redis, the stream, a receiver of webhooks.
private struct Stage {
  let scene: Scene
  let server: Server
  let redis: RedisServer
  let receiver: String

  static let failing = #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 0}"#

  static func play(_ body: (Stage) async throws -> Void) async throws {
    try await Scene.play { scene in
      try await ScriptedServer.serving({ _, _ in .json(200, "{}") }) { receiver in
        let redis = try await RedisServer.start()
        do {
          let server = try await scene.serve(environment: [
            "MARTLET_REDIS_URL": redis.url(), "MARTLET_EVENTS_STREAM_SECONDS": "3600",
          ])
          try await body(Stage(scene: scene, server: server, redis: redis, receiver: receiver.address))
        } catch {
          await redis.remove()
          throw error
        }
        await redis.remove()
      }
    }
  }

  func doABitOfEverything() async throws {
    let api = server.api
    try await eventually("the stream is fed") {
      try await api.get("/metrics").text.contains(#"martlet_outbox_events{sink="stream"}"#)
    }
    let retried = try await api.submit(
      """
      {"type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 1,
       "backoff": {"strategy": "fixed", "baseSeconds": 0.1}, "notify": [{"webhook": "\(receiver)/hook"}]}
      """)
    let done = try await api.submit(
      #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}, "queue": "other-queue"}"#)
    _ = try await api.submit(#"{"type": "misspelt"}"#)
    _ = try await api.submit(#"{"type": "FAIL_SOMETIMES", "delaySeconds": 3600}"#)
    try await api.task(done, becomes: "SUCCESS")
    try await api.task(retried, becomes: "DEAD")
    try await eventually("the receiver is told") {
      try await api.found("/notifications")["data"]?.elements?.first?["status"]?.string == "DELIVERED"
    }
    try await eventually("the worker is counted") {
      try await api.get("/metrics").text.contains("\nmartlet_worker_slots ")
    }
  }
}

/// A Prometheus that scrapes one server every few seconds, with the rules of deploy/ whose patience was taken away.
private struct Prometheus {
  private let api: API

  static func start(in scene: Scene, target: String) async throws -> Prometheus {
    let rules = try String(contentsOf: Deploy.file("deploy/prometheus/martlet.rules.yml"), encoding: .utf8)
    try Data(rules.replacing(/(?m)^ +for: .*\n/, with: "").utf8).write(to: scene.file("martlet.rules.yml"))
    let configuration = """
      global: { scrape_interval: 4s, scrape_timeout: 4s, evaluation_interval: 1s }
      rule_files: [martlet.rules.yml]
      scrape_configs:
        - job_name: martlet
          scrape_timeout: 4s
          static_configs: [{ targets: ["\(target.dropFirst("http://".count))"] }]
      """
    try Data(configuration.utf8).write(to: scene.file("prometheus.yml"))
    let port = try freePort()
    _ = try scene.start(
      Tool.installed("prometheus"),
      [
        "--config.file=\(scene.file("prometheus.yml").path)", "--storage.tsdb.path=\(scene.file("tsdb").path)",
        "--web.listen-address=127.0.0.1:\(port)", "--log.level=error",
      ])
    let prometheus = Prometheus(api: API(address: "http://127.0.0.1:\(port)"))
    try await eventually("Prometheus serves") { (try? await prometheus.api.get("/-/ready"))?.status == 200 }
    return prometheus
  }

  /// How many series answer it.
  func series(of question: String) async throws -> Int {
    let query = try #require(question.addingPercentEncoding(withAllowedCharacters: .alphanumerics))
    let reply = try await api.get("/api/v1/query?query=\(query)")
    try #require(reply.status == 200, "\(question): \(reply.text)")
    return try reply.json()["data"]?["result"]?.elements?.count ?? 0
  }

  /// Name, type (if any) and runbook of each alert that fires.
  func firing() async throws -> [String] {
    try await api.found("/api/v1/alerts")["data"]?["alerts"]?.elements?
      .filter { $0["state"]?.string == "firing" }
      .map { alert in
        [alert["labels"]?["alertname"], alert["labels"]?["type"], alert["annotations"]?["runbook_url"]]
          .compactMap { $0?.string }.joined(separator: " ")
      } ?? []
  }

  /// Rules that could not be evaluated.
  func sickRules() async throws -> [String] {
    try await eventually("all rules were evaluated") {
      let groups = try await api.found("/api/v1/rules")["data"]?["groups"]?.elements ?? []
      let rules = groups.flatMap { $0["rules"]?.elements ?? [] }
      guard !rules.isEmpty, rules.allSatisfy({ $0["health"]?.string != "unknown" }) else { return nil }
      return rules.filter { $0["health"]?.string != "ok" }.map { $0["name"]?.string ?? "" }
    }
  }
}
