// Two nodes and their database in a network whose parts can be cut off from each other, under load. Clients reach both nodes all the
// while. What tasks do is written into a file, which no network is needed for.

internal import Foundation
internal import MartletCore
internal import PostgresServer

struct DividedFleet: Sendable {
  let scene: Scene
  let network: Network
  let database: DatabaseServer
  let nodes: [Node]
  let load: Load
  let effects: EffectsFile

  static let databasePlace = "database"

  static func start(in scene: Scene) async throws -> DividedFleet {
    let names = ["one", "two"]
    let network = try await scene.network(names + [databasePlace])
    let place = network[databasePlace]
    let database = try await DatabaseServer(on: try await scene.postgres(at: place))
    let url = database.url.replacing("@127.0.0.1:", with: "@\(place.address):")
    let effects = EffectsFile(url: scene.file("effects"))
    let fleet = DividedFleet(
      scene: scene, network: network, database: database,
      nodes: names.map { name in
        Node(
          name, roles: "api,scheduler,worker", database: url, executable: "TestServer", at: network[name], in: scene)
      },
      load: Load(pause: .milliseconds(30)) { task($0, effects) }, effects: effects)
    for node in fleet.nodes { try await node.start() }
    fleet.load.aim(at: fleet.nodes.compactMap(\.api))
    return fleet
  }

  // MARK: What it does

  /// Waits until each node accepts tasks, and carries some more of them out.
  func works() async throws {
    for node in nodes {
      try await eventually("\(node.name) is ready") { try await node.api?.get("/health/ready").status == 200 }
      try await goesOn(node)
    }
  }

  func goesOn(_ node: Node) async throws {
    guard let api = node.api else { throw NeverCame(what: "an API of \(node.name)") }
    try await eventually("\(node.name) accepts tasks") {
      let before = load.journal.acknowledged
      return await load.submit(to: api) { Self.task($0, effects) } && load.journal.acknowledged > before
    }
    let goal = try await done(by: node) + 10
    try await eventually("\(node.name) carries out tasks") { try await done(by: node) >= goal }
  }

  private func done(by node: Node) async throws -> Int {
    try await database.number(
      "SELECT count(*) FROM martlet.task_runs WHERE status = 5 AND worker LIKE '%-\(node.processID)-%'")
  }

  /// Attempts that a node has begun and does not end before the gate is there, however it is told. Few enough to leave slots free on
  /// whoever takes over.
  func hold(by node: Node) async throws -> (gate: URL, attempts: Set<StoredAttempt>) {
    while true {
      let gate = scene.file("gate-\(UUID())")
      for node in [0, 1, 0, 1] {
        if let api = nodes[node].api { await load.submit(to: api) { Self.stubbornTask($0, effects, until: gate) } }
      }
      let all = try await eventually("stubborn tasks are begun") {
        let held = try await holders(of: gate)
        return held.count >= 3 ? held : nil
      }
      let its = all.filter { $0.worker.contains("-\(node.processID)-") }
      if !its.isEmpty { return (gate, Set(its.map(\.attempt))) }
      try Data().write(to: gate)  // the other one has taken all of them: once more
    }
  }

  private func holders(of gate: URL) async throws -> [(worker: String, attempt: StoredAttempt)] {
    let running = try await database.query(
      """
      SELECT r.worker, r.id, r.attempt FROM martlet.task_runs r JOIN martlet.task_bodies b ON b.id = r.id
      WHERE r.status = 3 AND convert_from(b.payload, 'UTF8') LIKE '%\(gate.lastPathComponent)%'
      """)
    let begun = Set(effects.all.map { StoredAttempt(task: $0.task, number: $0.attempt) })
    return try running.map { (worker: $0[0], attempt: try StoredAttempt(columns: Array($0.dropFirst()))) }
      .filter { begun.contains($0.attempt) }
  }

  /// Sessions of a node that the database has, living or not.
  func sessions(of node: Node) async throws -> Int {
    try await database.number(
      "SELECT count(*) FROM pg_stat_activity WHERE client_addr = '\(network[node.name].address)'")
  }

  // MARK: Tasks

  /// Done at once; some are due later.
  private static func task(_ number: Int, _ effects: EffectsFile) -> String {
    """
    {"type": "WAIT_FOR_FILE", "metadata": {"number": "\(number)"}, "delaySeconds": \(number % 5 == 0 ? 0.3 : 0),
     "payload": {"path": "/", "effects": "\(effects.url.path)"}, \(tenacity)}
    """
  }

  private static func stubbornTask(_ number: Int, _ effects: EffectsFile, until gate: URL) -> String {
    """
    {"type": "WAIT_FOR_FILE", "metadata": {"number": "\(number)"}, "priority": 9, "timeoutSeconds": 3600,
     "payload": {"path": "\(gate.path)", "isStubborn": true, "effects": "\(effects.url.path)"}, \(tenacity)}
    """
  }

  private static let tenacity = """
    "leaseSeconds": 2, "retries": 100, "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}
    """
}
