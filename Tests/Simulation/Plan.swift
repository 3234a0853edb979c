// What one seed tries. Not every seed does everything, so that each fault also meets quiet surroundings; and what a seed does beside
// one feature stays the same without it, so that a failure can be shortened.

package import MartletCore
package import MartletTestKit

package struct Plan: Sendable {
  /// What a world may have or not.
  package enum Feature: String, CaseIterable, Sendable {
    // Faults
    case crashes, pauses, failures, lostAnswers, duplicates, lateCalls, latency, drift, flakySink, restarts, outages
    // What clients do
    case poison, steering, graphs, keys, slots, schedules, notices, badBatches
    // What there is
    case remoteWorkers, sink, stream, wire, beside, retention, reloads, oldNode, manyNodes
    // Since then
    case bulk

    /// Drawn after the others, so that worlds of the time before stay as they are without it.
    static let later: Set<Feature> = [.bulk]
  }

  package let seed: UInt64
  package var features: Set<Feature>
  package var nodes: Int
  package var tasks: Int
  /// How long the trouble lasts.
  package var trouble: Duration

  package init(seed: UInt64) {
    self.seed = seed
    let random = RandomSource(seed: seed ^ 0x706C_616E)
    // Each is in half of the worlds, and what costs most or hides most in a quarter.
    let rare: Set<Feature> = [.poison, .oldNode, .stream, .beside, .flakySink]
    features = []
    for feature in Feature.allCases where !Feature.later.contains(feature) {
      let isRare = rare.contains(feature)
      if random.below(isRare ? 4 : 2) == 0 { features.insert(feature) }
    }
    nodes = 1 + random.below(3)
    tasks = 8 + random.below(20)
    trouble = .seconds(20 + random.below(40))
    for feature in Feature.allCases where Feature.later.contains(feature) {
      if random.below(2) == 0 { features.insert(feature) }
    }
  }

  package func has(_ feature: Feature) -> Bool { features.contains(feature) }

  /// Of nodes: one of the release before is never alone.
  package var count: Int { has(.manyNodes) || has(.oldNode) ? max(2, nodes) : 1 }

  package var faults: LinkFaults {
    var faults = LinkFaults()
    let random = RandomSource(seed: seed ^ 0x6C69_6E6B)
    faults.longestLatency = has(.latency) ? .milliseconds(1 + random.below(60)) : .zero
    if has(.failures) { faults.failsBefore = 0.01 + random.fraction() * 0.08 }
    if has(.lostAnswers) { faults.losesAnswer = 0.01 + random.fraction() * 0.08 }
    if has(.duplicates) { faults.duplicates = 0.02 + random.fraction() * 0.08 }
    if has(.lateCalls) { faults.arrivesLate = 0.01 + random.fraction() * 0.05 }
    return faults
  }

  /// Short enough to be at work while there is trouble.
  package var retention: RetentionPolicy {
    guard has(.retention) else { return RetentionPolicy(success: nil, dead: nil, cancelled: nil) }
    return RetentionPolicy(success: .seconds(8), dead: .seconds(20), cancelled: .seconds(12), keys: .seconds(15))
  }
}

extension Plan: CustomStringConvertible {
  package var description: String {
    let names = Feature.allCases.filter(features.contains).map(\.rawValue).joined(separator: " ")
    return "\(count) nodes, \(tasks) tasks, trouble for \(trouble): \(names.isEmpty ? "nothing" : names)"
  }
}
