// The network loses packets without a word between a worker and its server, which gives its tasks to another one meanwhile.
// MARTLET_CHAOS_SECONDS makes it last (`make chaos`), MARTLET_CHAOS_SEED repeats a run.

internal import Foundation
internal import MartletCore
internal import Testing

extension EndToEnd {
  @Suite("Partitions of workers elsewhere")
  struct RemotePartitionTests {
    @Test func `a worker that is cut off from its server stops what it can no longer keep, and works again afterwards`()
      async throws
    {
      var random = SplitMix(seed: SplitMix.seed(from: "MARTLET_CHAOS_SEED"))
      try await Scene.play { scene in
        let stage = try await Stage.set(scene)
        let (far, near) = (try stage.work("far", at: stage.network["far"]), try stage.work("near", at: nil))
        var (heldAtCut, stopped) = (0, 0)
        let ways = [[true, false], [false, true], [true, true]]
        let load = stage.load
        try await load.run(clients: 3) {
          load.aim(at: stage.api)
          for turn in 0..<Chaos.times(ways.count, each: 20) {
            let way = turn < ways.count ? ways[turn] : ways.randomElement(using: &random) ?? ways[0]
            print("partition of a worker: what it says is lost: \(way[0]), what it is told: \(way[1])")
            for worker in ["far", "near"] { try await stage.goesOn(worker) }
            // A task at which it is when the cut comes, and which nobody can finish before it is over.
            let (gate, held) = try await stage.hold(by: "far")
            if way[0] { try await stage.network.lose(from: stage.network["far"], to: stage.network["server"]) }
            if way[1] { try await stage.network.lose(from: stage.network["server"], to: stage.network["far"]) }
            heldAtCut += held.count
            try await eventually("what it held is lost to it") {
              Set(try await stage.file.attempts(ended: Code.lost)).isSuperset(of: held)
            }
            // Before its lease is over by its own clock, so that another may have begun.
            try await eventually("its commands are stopped") {
              held.allSatisfy { stage.stopped.contains("\($0.task) \($0.number)") }
            }
            stopped += held.count
            try await stage.goesOn("near")
            try Data().write(to: gate)
            try await stage.network.heal()
          }
          for worker in ["far", "near"] { try await stage.goesOn(worker) }
        }
        try await stage.api.allAreAtRest()
        let book = load.journal.book
        let checker = try await Checker(journal: book, effects: stage.effects, api: stage.api, database: stage.file)
        let lost = try await stage.file.attempts(ended: Code.lost).count
        Chaos.report(
          [("attempts held at a cut", heldAtCut), ("commands stopped", stopped), ("attempts LOST", lost)],
          checked: [("acknowledged", book.acknowledged.count), ("effects", stage.effects.count)])
        #expect(checker.summary() == [])
        #expect(try await stage.file.faults() == [])
        #expect(try await checker.brokenHistories(stage.api, limit: 300, failures: ["LOST", "FAILED"]) == [])
        for worker in [far, near] {
          worker.signal(SIGTERM)
          #expect(try await worker.ended() == .exited(0))
        }
        // Without these nothing was put to the test.
        #expect(heldAtCut >= 3 && lost >= heldAtCut)
        #expect(book.acknowledged.count >= 60)
      }
    }
  }
}

/// A server in one place, workers in others, and the files into which commands write what they do.
private struct Stage: Sendable {
  let scene: Scene
  let network: Network
  let api: API
  let file: DatabaseFile
  let load: Load

  static func set(_ scene: Scene) async throws -> Stage {
    let network = try await scene.network(["server", "far"])
    let database = scene.file("martlet.db")
    let node = Node(
      "the server", roles: "api,scheduler", database: "sqlite:\(database.path)", executable: "martlet",
      at: network["server"], in: scene)
    try await node.start()
    guard let api = node.api else { throw NeverCame(what: "an API") }
    return Stage(
      scene: scene, network: network, api: api, file: DatabaseFile(url: database, scene: scene),
      load: Load(pause: .milliseconds(60)) { task($0) })
  }

  /// `martlet work`, whose command tells what it does, waits for the gate in its payload, and tells when it is made to stop.
  func work(_ name: String, at place: Network.Place?) throws -> Program {
    let script = """
      read -r gate
      trap 'echo "$MARTLET_TASK_ID $MARTLET_ATTEMPT" >>stopped; exit 1' TERM
      echo "$MARTLET_TASK_ID $MARTLET_ATTEMPT \(name)" >>effects
      gate=${gate#?}; gate=${gate%?}
      while [ -n "$gate" ] && [ ! -e "$gate" ]; do sleep 0.05; done
      """
    return try scene.start(
      [
        Tool.built("martlet").path, "work", "--type", "job", "--name", name, "--server", api.address, "--concurrency",
        "6", "--", "sh", "-c", script,
      ], at: place, environment: ["MARTLET_API_KEY": Network.key])
  }

  private func lines(_ name: String) -> [[String]] {
    let text = String(decoding: FileManager.default.contents(atPath: scene.file(name).path) ?? Data(), as: UTF8.self)
    return text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
  }

  var effects: [Checker.Effect] {
    lines("effects").map { Checker.Effect(task: $0[0], attempt: Int($0[1]) ?? -1) }
  }

  var stopped: Set<String> { Set(lines("stopped").map { $0.joined(separator: " ") }) }

  /// A worker begins some more.
  func goesOn(_ worker: String) async throws {
    let goal = lines("effects").count { $0[2] == worker } + 5
    try await eventually("\(worker) works") { lines("effects").count { $0[2] == worker } >= goal }
  }

  /// Attempts that a worker has begun and that wait for a gate; few enough to leave slots free on the other one.
  func hold(by worker: String) async throws -> (gate: URL, attempts: Set<StoredAttempt>) {
    while true {
      let gate = scene.file("gate-\(UUID())")
      for _ in 0..<3 { await load.submit(to: api) { Self.task($0, gate: gate.path, priority: 9) } }
      let all = try await eventually("tasks that wait are begun") {
        let held = try await holders(of: gate)
        return held.count >= 2 ? held : nil
      }
      let its = all.filter { $0[2] == worker }
      if !its.isEmpty {
        return (gate, Set(its.map { StoredAttempt(task: $0[0], number: Int($0[1]) ?? -1) }))
      }
      try Data().write(to: gate)  // the other one has taken all of them: once more
    }
  }

  /// Lines of the effects.
  private func holders(of gate: URL) async throws -> [[String]] {
    let waiting = try await file.query(
      """
      SELECT lower(hex(id)) FROM task_bodies WHERE CAST(payload AS text) LIKE '%\(gate.lastPathComponent)"'
      """
    ).map { $0[0] }
    return lines("effects").filter { waiting.contains($0[0].replacing("-", with: "")) }
  }

  private static func task(_ number: Int, gate: String = "", priority: Int = 5) -> String {
    """
    {"type": "job", "payload": "\(gate)", "metadata": {"number": "\(number)"}, "priority": \(priority), "leaseSeconds": 5,
     "retries": 100, "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}}
    """
  }
}
