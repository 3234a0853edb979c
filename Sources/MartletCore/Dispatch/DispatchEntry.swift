// What a dispatch queue beside the store is told of a task: its id, where it belongs, and its place in the order.

package struct DispatchEntry: Sendable, Hashable {
  package var id: TaskID
  package var lane: Lane
  /// 1…9, 9 is most urgent.
  package var priority: Int
  package var availableAt: Timestamp

  package init(id: TaskID, lane: Lane, priority: Int, availableAt: Timestamp) {
    self.id = id
    self.lane = lane
    self.priority = priority
    self.availableAt = availableAt
  }
}
