// The engine in a few hundred worlds. A failing seed is printed and is the whole of what is needed to see it again: put it
// in `knownSeeds`. (Hashing is seeded by the process: run with SWIFT_DETERMINISTIC_HASHING=1 to get the same order.)

import Foundation
import MartletCore
import MartletTestKit
import Testing

@Suite struct SimulationTests {
  /// Seeds that once failed.
  static let knownSeeds: [UInt64] = [467]

  /// MARTLET_SEEDS says how many, for a longer look; MARTLET_SEED tries that one alone.
  static let seeds: [UInt64] = {
    let environment = ProcessInfo.processInfo.environment
    if let seed = environment["MARTLET_SEED"].flatMap(UInt64.init) { return [seed] }
    return Array(1...(environment["MARTLET_SEEDS"].flatMap(UInt64.init) ?? 300))
  }()

  @Test func `every world comes to rest with nothing lost, nothing done twice and no two attempts at once`() throws {
    let counters = Counters()
    for seed in Self.knownSeeds + Self.seeds {
      do {
        try run(seed: seed, counters: counters)
      } catch {
        Issue.record("seed \(seed): \(error)")
        return
      }
    }
    // A run in which these never happened has proved nothing.
    for name in [
      "crash", "pause", "poison", "steered", "overlap", "snoozed", "stale finish refused", "answer lost after commit",
      "call delivered twice", "submit of unknown outcome", "rescued LOST", "rescued TIMED_OUT",
      "dead RETRIES_EXHAUSTED",
      "dead NON_RETRYABLE", "hint heard", "hint lost", "history told", "event delivered twice",
    ] {
      #expect(counters.all[name, default: 0] > 0, "\(name) never happened")
    }
  }

  @Test(arguments: [World.Sabotage.forgets, .rescuesEarly, .dropsFence, .settlesUndelivered])
  func `a bug put in on purpose is found`(_ sabotage: World.Sabotage) {
    let found = (1...500).contains { seed in
      do {
        try run(seed: UInt64(seed), counters: Counters(), sabotage: sabotage)
        return false
      } catch {
        return error is Violation
      }
    }
    #expect(found)
  }

  private func run(seed: UInt64, counters: Counters, sabotage: World.Sabotage? = nil) throws {
    try simulate(seed: seed) { scheduler in
      try await World(seed: seed, scheduler: scheduler, counters: counters, sabotage: sabotage).live()
    }
  }
}
