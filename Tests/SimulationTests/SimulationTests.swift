// The simulation as part of every test run: a few worlds, and the simulation's own tests. `make simulate` lives through thousands, in a
// release build; `make sabotage` shows what they find (docs/verification.md).

import Foundation
import MartletCore
import MartletEngine
import MartletTestKit
import Simulation
import Testing

@Suite struct SimulationTests {
  /// MARTLET_SEEDS says how many, for a longer look; MARTLET_SEED tries that one alone.
  private static let seeds: [UInt64] = {
    let environment = ProcessInfo.processInfo.environment
    if let seed = environment["MARTLET_SEED"].flatMap(UInt64.init) { return [seed] }
    return Array(1...(environment["MARTLET_SEEDS"].flatMap(UInt64.init) ?? 60))
  }()

  @Test func `every world comes to rest with nothing lost, nothing done twice and everybody told`() async throws {
    let swarm = await Swarm.run(Corpus.entries.map(\.seed) + Self.seeds)
    for trial in swarm.failures { Issue.record("\(trial.shortened().report)") }
    // A run in which these never happened has proved nothing.
    if Self.seeds.count >= 500 { #expect(swarm.neverHappened == []) }
  }

  @Test(arguments: Sabotage.allCases)
  func `a bug put in on purpose is found as the breach that it is`(_ sabotage: Sabotage) async {
    let found = await onThread { Swarm.find(sabotage, in: 1...500) }
    #expect(found != nil)
  }

  @Test func `a world that breaks another promise has not found a bug`() async {
    // One that claims twice breaks G3 from the first world on, and has nothing to do with schedules.
    let found = await onThread { Swarm.find(.claimsTwice, as: ["G8"], in: 1...3) }
    #expect(found == nil)
  }

  @Test func `the same seed is the same world, and another plan of it a smaller one`() async throws {
    let plan = Plan(seed: 7)
    #expect(Plan(seed: 7).description == plan.description)
    let smaller: Plan = {
      var plan = plan
      plan.features = []
      return plan
    }()
    #expect(Plan(seed: 8).description != plan.description)
    #expect(await onThread { Trial.run(smaller).verdict.isWell })
  }

  @Test func `what goes wrong is told with the least that it takes and its story`() async throws {
    let found = try #require(await onThread { Swarm.find(.finishesWithoutFence, in: 1...500) })
    let shortened = await onThread { found.trial.shortened(sabotage: .finishesWithoutFence) }
    #expect(!shortened.verdict.isWell)
    #expect(shortened.plan.features.count < Plan(seed: shortened.plan.seed).features.count)
    let report = shortened.report
    #expect(report.contains("seed \(shortened.plan.seed): G3"), "\(report)")
    #expect(report.contains("RUNNING → "), "\(report)")
  }

  @Test func `what leaves the simulation is noticed`() {
    #expect(throws: SimulationStrayed.self) {
      try simulate(seed: 1) { scheduler in
        let clock = ProcessClock(scheduler: scheduler)
        Task.detached {}
        try await clock.sleep(for: .seconds(1))
      }
    }
    // It is stuck, for nothing here can wake what sleeps there.
    #expect(throws: (any Error).self) {
      try simulate(seed: 1) { _ in try await Task.sleep(for: .milliseconds(1)) }
    }
  }
}
