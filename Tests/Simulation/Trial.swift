// Lives through worlds, and makes of one that went wrong something to work with: the least of it that still goes wrong, and its history.

internal import MartletCore
package import MartletTestKit

package struct Trial: Sendable {
  package enum Verdict: Sendable {
    case well
    case broken(Violation)
    /// It came to no end, left the simulation, or failed in a way that nobody has thought of.
    case odd(String)

    package var isWell: Bool { if case .well = self { true } else { false } }

    /// It went wrong in the same way: another promise that breaks is another story.
    func isLike(_ other: Verdict) -> Bool {
      switch (self, other) {
      case (.broken(let own), .broken(let its)): own.promise == its.promise
      case (.odd, .odd), (.well, .well): true
      default: false
      }
    }

    package var sentence: String {
      switch self {
      case .well: "all is well"
      case .broken(let violation): "\(violation)"
      case .odd(let text): text
      }
    }
  }

  package let plan: Plan
  package let verdict: Verdict
  package let chronicle: Chronicle

  /// Lives through one world.
  package static func run(_ plan: Plan, counters: Counters = Counters(), sabotage: Sabotage? = nil) -> Trial {
    let chronicle = Chronicle()
    let verdict: Verdict
    do {
      try simulate(seed: plan.seed) { scheduler in
        try await World(plan, scheduler: scheduler, counters: counters, chronicle: chronicle, sabotage: sabotage).live()
      }
      verdict = .well
    } catch let violation as Violation {
      verdict = .broken(violation)
    } catch {
      verdict = .odd("\(error)")
    }
    return Trial(plan: plan, verdict: verdict, chronicle: chronicle)
  }

  /// The same seed with as little as it takes to go wrong in the same way: one after the other, what can be left out is.
  package func shortened(sabotage: Sabotage? = nil) -> Trial {
    var shortest = self
    var tries: [(inout Plan) -> Void] = Plan.Feature.allCases.map { feature in { $0.features.remove(feature) } }
    tries += [
      { $0.tasks = max(1, $0.tasks / 2) }, { $0.tasks = max(1, $0.tasks / 2) }, { $0.trouble = $0.trouble / 2 },
    ]
    for change in tries {
      var plan = shortest.plan
      change(&plan)
      guard
        plan.features != shortest.plan.features || plan.tasks != shortest.plan.tasks
          || plan.trouble != shortest.plan.trouble
      else { continue }
      let trial = Trial.run(plan, sabotage: sabotage)
      if trial.verdict.isLike(verdict) { shortest = trial }
    }
    return shortest
  }

  /// Everything that somebody needs who wants to find out why.
  package var report: String {
    var tasks: [TaskID] = []
    if case .broken(let violation) = verdict { tasks = violation.tasks }
    return """
      seed \(plan.seed): \(verdict.sentence)
        \(plan)
        \(plan.left.isEmpty ? "" : "without: \(plan.left)")
      \(chronicle.lines(about: tasks).joined(separator: "\n"))
      """
  }
}

extension Plan {
  /// What the seed has and this plan does not, as `--without` takes it.
  var left: String {
    Plan(seed: seed).features.subtracting(features).map(\.rawValue).sorted().joined(separator: ",")
  }
}
