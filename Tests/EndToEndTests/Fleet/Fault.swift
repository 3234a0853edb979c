// What a fleet has to survive, and the proof that it happened.

internal import Foundation
internal import PostgresServer
internal import Synchronization

enum Fault: String, CaseIterable {
  /// `kill -9` of a node.
  case kill
  /// A worker that stands still past its leases and then goes on as if nothing had been.
  case freeze
  /// `pg_ctl stop -m immediate`.
  case crashDatabase
  case endConnections
  /// Connections cut at the moment of a commit.
  case cutCommits
  /// A database that takes connections and answers nothing, for some of the nodes.
  case stall
  /// A database that cannot be reached, for some of the nodes.
  case part

  /// Those that MARTLET_CHAOS_FAULTS names, or all.
  static func asked() throws -> [Fault] {
    guard let names = ProcessInfo.processInfo.environment["MARTLET_CHAOS_FAULTS"], !names.isEmpty else {
      return allCases
    }
    return try names.split(separator: ",").map { name in
      guard let fault = Fault(rawValue: String(name)) else { throw NeverCame(what: "a fault called \(name)") }
      return fault
    }
  }
}

/// How often each thing was seen to happen.
struct Tally: Sendable, Equatable {
  var kills = 0
  var freezes = 0
  var lateReports = 0
  var databaseCrashes = 0
  var endedConnections = 0
  var stalls = 0
  var partings = 0
}

/// Does the faults to a fleet, at random, repeatable by a seed but for the timing of processes.
struct Mischief {
  let fleet: Fleet
  let faults: [Fault]
  var random: SplitMix
  private(set) var tally = Tally()

  init(_ fleet: Fleet, _ faults: [Fault], seed: UInt64) {
    self.fleet = fleet
    self.faults = faults
    random = SplitMix(seed: seed)
  }

  /// Each fault once, in random order; kills for API and workers.
  mutating func doAll() async throws {
    if faults.contains(.kill) { try await kill(among: fleet.apis) }
    for fault in faults.shuffled(using: &random) {
      try await fault == .kill ? kill(among: fleet.workers) : carryOut(fault)
      try await fleet.works()
    }
  }

  /// Any fault; one in three while a node is dead.
  mutating func doOne() async throws {
    let fault = faults.randomElement(using: &random) ?? .kill
    if fault != .kill, faults.contains(.kill), Int.random(in: 0..<3, using: &random) == 0 {
      // A zombie needs one of its kind to take over from it, and one that sees that it is dead.
      try await kill(among: fault == .freeze ? [fleet.nodes[0], fleet.nodes[3]] : fleet.nodes) { mischief in
        try await mischief.carryOut(fault)
      }
    } else {
      try await carryOut(fault)
    }
    try await fleet.works()
  }

  private mutating func carryOut(_ fault: Fault) async throws {
    print("fleet: \(fault)")
    switch fault {
    case .kill: try await kill(among: fleet.nodes)
    case .freeze: try await freeze()
    case .crashDatabase: try await crashDatabase()
    case .endConnections: try await endConnections()
    case .cutCommits: try await cutCommits()
    case .stall: try await obstruct(.stall)
    case .part: try await obstruct(.refuse)
    }
  }

  private mutating func kill(
    among nodes: [Node], meanwhile: (inout Mischief) async throws -> Void = { _ in }
  ) async throws {
    guard let node = nodes.randomElement(using: &random) else { return }
    print("fleet: \(node.name) is killed")
    try await node.kill()
    tally.kills += 1
    try await moment(upTo: 500)
    try await meanwhile(&self)
    try await node.start()
    fleet.aim()
  }

  private mutating func freeze() async throws {
    let gate = fleet.scene.file("gate-\(UUID())")
    let fleet = fleet
    guard let api = fleet.apis.first(where: \.isAlive)?.api else { return }
    for _ in 0..<6 { await fleet.load.submit(to: api) { fleet.stubbornTask($0, until: gate) } }

    let (victim, held) = try await eventually("a worker is at a stubborn task") { try await atStubbornTask() }
    victim.signal(SIGSTOP)
    tally.freezes += 1
    try await eventually("the frozen worker has lost the tasks that it is at") {
      Set(try await fleet.database.attempts(ended: Code.lost)).isSuperset(of: held)
    }
    try Data().write(to: gate)
    victim.signal(SIGCONT)
    try await eventually("the zombie reports, and is refused") {
      held.allSatisfy { attempt in
        victim.lines(with: "a report came too late", "outcome=SUCCESS", attempt.task) > 0
      }
    }
    tally.lateReports += held.count
  }

  /// One that can be frozen, and the attempts of stubborn tasks that it has not only claimed but begun.
  private func atStubbornTask() async throws -> (Node, Set<StoredAttempt>)? {
    let begun = Set(fleet.stubbornEffects.map { StoredAttempt(task: $0.task, number: $0.attempt) })
    let running = try await fleet.database.query(
      """
      SELECT r.worker, r.id, r.attempt FROM martlet.task_runs r JOIN martlet.lanes l ON l.id = r.lane
      WHERE l.type = 'WAIT_FOR_FILE' AND r.status = 3
      """)
    for node in fleet.zombies where node.isAlive {
      let its = try running.filter { $0[0].contains("-\(node.processID)-") }
        .map { try StoredAttempt(columns: Array($0.dropFirst())) }
      let held = begun.intersection(its)
      if !held.isEmpty { return (node, held) }
    }
    return nil
  }

  private mutating func crashDatabase() async throws {
    let before = fleet.load.journal.book.unavailable
    try await fleet.postgres.stop(.immediate)
    tally.databaseCrashes += 1
    try await eventually("submissions are refused") { fleet.load.journal.book.unavailable > before }
    try await moment(upTo: 1500)
    try await fleet.postgres.startAgain()
  }

  private mutating func endConnections() async throws {
    for _ in 0..<5 {
      tally.endedConnections += try await fleet.database.number(
        """
        SELECT count(pg_terminate_backend(pid)) FROM (
          SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
          ORDER BY random() LIMIT 4
        ) backends
        """)
      try await moment(upTo: 200)
    }
  }

  private mutating func cutCommits() async throws {
    let before = fleet.proxy.counts
    fleet.proxy.cut(share: 0.2)
    // Claims and reports come from a worker behind the proxy, submissions from a node of the API.
    let kinds = ["insert_tasks", "claim_", "end_"]
    try await eventually("commits of all kinds are cut, in both ways") {
      let now = fleet.proxy.counts
      return now.beforeCommit >= before.beforeCommit + 5 && now.afterCommit >= before.afterCommit + 5
        && kinds.allSatisfy { kind in now.statements.keys.contains { $0.hasPrefix(kind) } }
    }
    fleet.proxy.cut(share: 0)
  }

  private mutating func obstruct(_ manner: CuttingProxy.Manner) async throws {
    // Clients that meet the node behind the proxy are told so.
    let isSeen = fleet.apis[1].isAlive
    let before = fleet.load.journal.book
    fleet.proxy.set(manner)
    if manner == .stall { tally.stalls += 1 } else { tally.partings += 1 }
    try await eventually("submissions are refused") {
      let now = fleet.load.journal.book
      return !isSeen || now.unavailable + now.unknown.count > before.unavailable + before.unknown.count
    }
    try await moment(upTo: 1500)
    fleet.proxy.set(.pass)
  }

  /// When things happen is part of the game.
  private mutating func moment(upTo milliseconds: Int) async throws {
    try await Task.sleep(for: .milliseconds(Int.random(in: 0...milliseconds, using: &random)))
  }
}
