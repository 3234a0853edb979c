// SQLite, PostgreSQL and the model take the same history side by side: after each step all three have answered the same, and all
// that can be read of them is the same. `RandomHistoryTests` reads less and less often, and goes further.

import Foundation
import MartletCore
import MartletTestKit
import Testing

@Suite(.timeLimit(.minutes(30))) struct DifferentialTests {
  /// Each costs as much as ten of `RandomHistoryTests`.
  private static let seeds = max(4, RandomHistoryTests.seeds / 10)
  private static let steps = 40

  @Test func `SQLite and PostgreSQL answer and keep the same, step by step, and so does the model`() async throws {
    var seen: [String: Int] = [:]
    for seed in 1...Self.seeds {
      let differences = try await Self.play(seed: seed, seen: &seen)
      #expect(differences.isEmpty, "\(differences.joined(separator: "\n"))")
      if !differences.isEmpty { return }
    }
    for name in ["SUCCESS", "DEAD", "CANCELLED", "a notice", "a story", "a setting", "a line of the audit"] {
      #expect(seen[name, default: 0] > 0, "\(name) never came about")
    }
  }

  @Test func `a store that differs from the others is found`() async throws {
    var seen: [String: Int] = [:]
    var found: [String] = []
    for seed in 1...UInt64(Self.seeds) where found.isEmpty {
      found = try await Self.play(seed: seed, seen: &seen, strays: true)
    }
    let words = try #require(found.first)
    #expect(words.contains("sqlite") && words.contains("seed"), "\(words)")
  }

  /// - Parameter strays: somebody changes one of the stores behind its back.
  private static func play(
    seed: UInt64, seen: inout [String: Int], strays: Bool = false
  ) async throws -> [String] {
    let time = ManualTime()
    let benches = try await open(["sqlite", "postgres", "memory"], time)
    var differences: [String] = []
    do {
      differences = try await play(seed: seed, on: benches, seen: &seen, strays: strays)
    } catch {
      await close(benches)
      throw error
    }
    await close(benches)
    return differences
  }

  private static func play(
    seed: UInt64, on benches: [(name: String, bench: StoreBench)], seen: inout [String: Int], strays: Bool
  ) async throws -> [String] {
    // A sink hears of all in every other history.
    if seed.isMultiple(of: 2) {
      for (_, bench) in benches { _ = try await bench.store.attend(to: ["kafka"]) }
    }
    var history = RandomHistory(seed: seed &* 3)
    for step in 1...steps {
      let command = history.next(now: benches[0].bench.now)
      var answers: [String] = []
      for (index, (name, bench)) in benches.enumerated() {
        // They share a clock, which one of them moves; and the history learns from the model.
        let isFollower = if case .advance = command { index > 0 } else { name == "memory" }
        answers.append(try await history.carryOut(command, on: bench, isModel: isFollower))
        try await bench.admitAll()
      }
      seen[String(answers[0].prefix { $0 != "(" }), default: 0] += 1
      if strays, step == steps / 2 { try await benches[0].bench.set("a") { $0.maxDepth = .value(77) } }
      let place = "seed \(seed), step \(step): \(command)"
      let told = zip(benches, answers).filter { $1 != answers[0] }
      if !told.isEmpty {
        return zip(benches, answers).map { "\(place): \($0.name) answers \($1)" }
      }
      let readings = try await read(benches, tasks: history.known)
      for (name, reading) in readings.dropFirst() {
        let differences = readings[0].reading.differences(from: reading)
        if !differences.isEmpty { return differences.map { "\(place): \(readings[0].name) and \(name): \($0)" } }
      }
      if step == steps { readings[0].reading.count(into: &seen) }
    }
    guard seed.isMultiple(of: 2) else { return [] }
    var told: [[TaskID: TaskStory]] = []
    for (_, bench) in benches {
      let page = try await bench.store.takePage(for: "kafka", relay: "r", limit: 100_000, hold: .seconds(3600))
      told.append(page?.stories ?? [:])
    }
    seen["a story", default: 0] += told[0].count
    return told.allSatisfy { $0 == told[0] } ? [] : ["seed \(seed): a sink is not told the same by all"]
  }

  private static func read(
    _ benches: [(name: String, bench: StoreBench)], tasks: [TaskID]
  ) async throws -> [(name: String, reading: Reading)] {
    var readings: [(name: String, reading: Reading)] = []
    for (name, bench) in benches { readings.append((name, try await Reading(of: bench, tasks: tasks))) }
    return readings
  }

  // MARK: The stores

  private static func open(
    _ names: [String], _ time: ManualTime
  ) async throws -> [(name: String, bench: StoreBench)] {
    var benches: [(name: String, bench: StoreBench)] = []
    for name in names {
      let directory = FileManager.default.temporaryDirectory.appending(path: "martlet-test-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
      let store = try await #require(stores.first { $0.name == name }).make(time, directory.path)
      benches.append((name, StoreBench(store: store, time: time, directory: directory.path)))
    }
    return benches
  }

  private static func close(_ benches: [(name: String, bench: StoreBench)]) async {
    for (_, bench) in benches {
      await bench.store.close()
      try? FileManager.default.removeItem(atPath: bench.directory)
    }
  }
}

/// All that anybody can read of a store, as far as it is a matter of the contract and not of the store.
private struct Reading {
  private var snapshot: StoreSnapshot
  /// The rest, by what was asked.
  private var answers: [String: [String]] = [:]

  init(of bench: StoreBench, tasks: [TaskID]) async throws {
    let store = bench.store
    snapshot = try await bench.snapshot()
    func sorted<Value>(_ values: some Sequence<Value>) -> [String] { values.map { "\($0)" }.sorted() }
    let queues = try await store.queueSettings()
    answers["queue settings"] = sorted(queues.map { "\($0.key): \($0.value)" })
    answers["type settings"] = sorted(try await store.typeSettings().map { "\($0.key): \($0.value)" })
    answers["claimable"] = sorted(try await store.claimable(in: nil, limit: 100).entries)
    answers["audit"] = sorted(
      try await bench.audit { $0.limit = 1000 }
        .map { "\($0.at) \($0.actor) \($0.action) \($0.target) \($0.detail ?? "")" })
    answers["notices"] = sorted(try await bench.allNotices())
    for graph in Set(snapshot.histories.compactMap(\.task.graphID)) {
      answers["graph \(graph)"] = ["\(String(describing: try await store.graph(graph)))"]
    }
    for task in tasks {
      answers["facts of \(task)"] = ["\(String(describing: try await store.facts(of: task)))"]
    }
  }

  func differences(from other: Reading) -> [String] {
    snapshot.differences(from: other.snapshot)
      + Set(answers.keys).union(other.answers.keys).sorted().compactMap { question in
        let (mine, theirs) = (answers[question] ?? [], other.answers[question] ?? [])
        if mine == theirs { return nil }
        return "\(question): \(mine.filter { !theirs.contains($0) }) but \(theirs.filter { !mine.contains($0) })"
      }
  }

  func count(into seen: inout [String: Int]) {
    for history in snapshot.histories { seen[history.task.status.rawValue, default: 0] += 1 }
    seen["a notice", default: 0] += answers["notices"]?.count ?? 0
    seen["a setting", default: 0] += answers["queue settings"]?.count ?? 0
    seen["a line of the audit", default: 0] += answers["audit"]?.count ?? 0
  }
}
