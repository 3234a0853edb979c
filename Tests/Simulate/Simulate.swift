// The simulation by hand: `make simulate` and `make sabotage`. Hashing is seeded by the process, so that it starts itself once more with
// Swift's deterministic one: then a seed is the whole of what is needed to see a world again.

import Foundation
import MartletTestKit
import Simulation

@main struct Simulate {
  static func main() async {
    repeatable()
    let options: Options
    do {
      options = try Options(Array(CommandLine.arguments.dropFirst()))
    } catch {
      FileHandle.standardError.write(Data("simulate: \(error)\n\n\(Options.usage)\n".utf8))
      exit(2)
    }
    if options.showsSabotage {
      await sabotage(options)
    } else if options.seed != nil {
      one(options)
    } else {
      await swarm(options)
    }
  }

  private static func repeatable() {
    guard getenv("SWIFT_DETERMINISTIC_HASHING") == nil else { return }
    setenv("SWIFT_DETERMINISTIC_HASHING", "1", 1)
    var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
    execv("/proc/self/exe", &arguments)
  }

  // MARK: Worlds

  private static func swarm(_ options: Options) async {
    let begin = ContinuousClock.now
    let known = options.corpus.map(\.seed)
    let swarm = await Swarm.run(
      known + Array(options.first..<options.first + UInt64(options.seeds)), jobs: options.jobs)
    for trial in swarm.failures { print(trial.shortened().report, terminator: "\n\n") }
    let seconds = (ContinuousClock.now - begin).components.seconds
    print("\(swarm.worlds) worlds in \(seconds) s, \(swarm.failures.count) of them broken")
    for (name, count) in swarm.counters.all.sorted(by: { $0.key < $1.key }) { print("  \(count)  \(name)") }
    if !swarm.failures.isEmpty {
      print("For Tests/Simulation/Corpus.swift: Entry(seed: \(swarm.failures[0].plan.seed), why: \"…\")")
      exit(1)
    }
    if options.seeds >= 500, !swarm.neverHappened.isEmpty {
      print("never happened, so that nothing is proved of it: \(swarm.neverHappened.joined(separator: ", "))")
      exit(1)
    }
  }

  private static func one(_ options: Options) {
    var plan = Plan(seed: options.seed ?? 0)
    plan.features.subtract(options.without)
    let trial = Trial.run(plan, sabotage: options.sabotage)
    let told = trial.verdict.isWell ? trial : trial.shortened(sabotage: options.sabotage)
    print(told.report)
    exit(trial.verdict.isWell ? 0 : 1)
  }

  // MARK: Bugs put in on purpose

  private static func sabotage(_ options: Options) async {
    var isMissed = false
    print("| bug | found after | by | what it said |\n|---|---|---|---|")
    for sabotage in Sabotage.allCases where options.sabotage == nil || options.sabotage == sabotage {
      let found = await onThread { Swarm.find(sabotage, in: 1...UInt64(options.most)) }
      if case .broken(let violation)? = found?.trial.verdict {
        print("| `\(sabotage.rawValue)` | \(found?.tried ?? 0) | \(violation.promise) | \(violation.text) |")
      } else {
        isMissed = true
        print("| `\(sabotage.rawValue)` | **not within \(options.most)** | | |")
      }
    }
    exit(isMissed ? 1 : 0)
  }
}
