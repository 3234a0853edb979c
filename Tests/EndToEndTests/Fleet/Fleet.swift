// Five nodes on one PostgreSQL under load, and the witnesses of what they do. Two of the nodes reach the database through
// the proxy that cuts.

internal import Foundation
internal import PostgresServer
internal import ScriptedServer

struct Fleet: Sendable {
  let nodes: [Node]
  let postgres: PostgresServer
  let database: DatabaseServer
  let proxy: CuttingProxy
  let load: Load
  /// Where tasks do their work.
  let target: ScriptedServer
  /// Where stubborn tasks say that they are at work.
  let effectsFile: URL
  let scene: Scene

  var apis: [Node] { nodes.filter { $0.name.hasPrefix("api") } }
  var workers: [Node] { nodes.filter { $0.name.hasPrefix("worker") } }
  /// Those that can carry out stubborn tasks, and reach the database by themselves.
  var zombies: [Node] { [nodes[2], nodes[4]] }

  /// Plays `story` on a fleet at work, heals what it left broken, and waits until all is at rest.
  /// - Parameter previous: the program that all nodes begin with but those that have handlers of tests.
  static func serving(
    in scene: Scene, seed: UInt64, previous: URL? = nil, _ story: (Fleet) async throws -> Void,
    after: (Fleet) async throws -> Void
  ) async throws {
    let postgres = try await scene.postgres()
    let database = try await DatabaseServer(on: postgres)
    try await ScriptedServer.serving(answer) { target in
      try await CuttingProxy.serving(before: postgres.port, seed: seed) { proxy in
        func node(_ name: String, _ roles: String, isCut: Bool = false, _ executable: String = "martlet") -> Node {
          Node(
            name, roles: roles, database: isCut ? database.url(port: proxy.port) : database.url,
            executable: executable, in: scene)
        }
        let address = target.address
        let fleet = Fleet(
          nodes: [
            node("api 1", "api"),
            node("api 2", "api,scheduler", isCut: true),
            node("worker 1", "worker,scheduler", "TestServer"),
            node("worker 2", "worker", isCut: true),
            node("worker 3", "worker", "TestServer"),
          ],
          postgres: postgres, database: database, proxy: proxy,
          load: Load(pause: .milliseconds(30)) { number in task(number, calling: address) },
          target: target, effectsFile: scene.file("effects"), scene: scene)
        do {
          try await fleet.run(previous, story)
        } catch {
          await fleet.tellWhereItStands()
          throw error
        }
        try await after(fleet)
      }
    }
  }

  private func run(_ previous: URL?, _ story: (Fleet) async throws -> Void) async throws {
    let plain = nodes.filter(\.isPlain)
    for node in plain { node.takes(previous) }
    try await start(plain)  // the schema is of these
    try await start(nodes.filter { !$0.isPlain })
    aim()
    try await load.run(clients: 4) {
      try await works()
      try await story(self)
      try await works()
    }
    try await eventually("all tasks are final", within: .seconds(600)) { try await database.restless() == 0 }
  }

  private func start(_ nodes: [Node]) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for node in nodes { group.addTask { try await node.start() } }
      try await group.waitForAll()
    }
  }

  /// Tells clients where the API is now.
  func aim() {
    load.aim(at: apis.compactMap(\.api))
  }

  /// Waits until each node of the API accepts tasks, and some more of them are carried out.
  func works() async throws {
    for node in apis {
      try await eventually("\(node.name) accepts tasks") {
        guard let api = node.api else { return false }
        let before = load.journal.acknowledged
        return await load.submit(to: api) { Self.task($0, calling: target.address) }
          && load.journal.acknowledged > before
      }
    }
    let goal = target.requests.count + 30
    try await eventually("tasks are carried out") { target.requests.count >= goal }
  }

  var effects: [Checker.Effect] {
    target.requests.map { Checker.Effect(headers: $0.headers) } + stubbornEffects
  }

  var stubbornEffects: [Checker.Effect] { EffectsFile(url: effectsFile).all }

  /// For whoever has to find out why it does not go on.
  private func tellWhereItStands() async {
    let book = load.journal.book
    print("fleet: \(book.acknowledged.count) acknowledged, \(book.unknown.count) unknown, \(book.refused) refused")
    for node in nodes { print("fleet: \(node.name), process \(node.processID), is alive: \(node.isAlive)") }
    let questions = [
      "SELECT type, status, count(*), min(created_at), max(finished_at) FROM martlet.tasks GROUP BY 1, 2 ORDER BY 1, 2",
      "SELECT id, status, attempt, started_at, worker, lease_until FROM martlet.tasks WHERE status NOT IN ('SUCCESS') LIMIT 40",
      "SELECT id, last_seen_at, running, types FROM martlet.workers",
      "SELECT pid, state, wait_event, left(query, 60) FROM pg_stat_activity WHERE datname = current_database()",
      "SELECT now()",
    ]
    for question in questions {
      let rows = (try? await database.query(question)) ?? [["no answer"]]
      print(rows.map { "fleet: " + $0.joined(separator: " | ") }.joined(separator: "\n"))
    }
  }

  // MARK: Tasks

  /// Some are due later; some get no answer at first and run into their timeout, so that there is always something running.
  private static func task(_ number: Int, calling address: String) -> String {
    """
    {"type": "WEBHOOK_CALL", "metadata": {"number": "\(number)"},
     "payload": {"url": "\(address)/effects", "body": {"isSilent": \(number % 20 == 7)}},
     "priority": \(1 + number % 9), "delaySeconds": \(number % 5 == 0 ? 0.3 : 0), "timeoutSeconds": 4, \(tenacity)}
    """
  }

  /// A task that holds on to its worker until a file is there, and does not listen when it is told to stop.
  func stubbornTask(_ number: Int, until gate: URL) -> String {
    """
    {"type": "WAIT_FOR_FILE", "metadata": {"number": "\(number)"}, "priority": 9, "timeoutSeconds": 3600, \(Self.tenacity),
     "payload": {"path": "\(gate.path)", "isStubborn": true, "effects": "\(effectsFile.path)"}}
    """
  }

  private static let tenacity = """
    "leaseSeconds": 1, "retries": 100, "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}
    """

  @Sendable private static func answer(_ request: ScriptedRequest, _: Int) -> ScriptedAnswer {
    let isSilent = request.text.contains("true") && request.headers["x-martlet-attempt"] == "1"
    return isSilent ? .silence : .json(200, "{}")
  }
}
