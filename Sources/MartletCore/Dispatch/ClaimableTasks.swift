// What `TaskStore.claimable` answers.

package struct ClaimableTasks: Sendable, Hashable {
  package var entries: [DispatchEntry]
  /// Lanes in which there may be more than these.
  package var cutLanes: Set<Lane>

  package init(entries: [DispatchEntry], cutLanes: Set<Lane>) {
    self.entries = entries
    self.cutLanes = cutLanes
  }

  /// - Parameter limit: of entries with one lane and one priority.
  package init(entries: [DispatchEntry], limit: Int) {
    var counts: [Lane: [Int: Int]] = [:]
    for entry in entries { counts[entry.lane, default: [:]][entry.priority, default: 0] += 1 }
    self.init(entries: entries, cutLanes: Set(counts.filter { $0.value.values.contains { $0 >= limit } }.keys))
  }
}
