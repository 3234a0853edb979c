// Tasks that depend on each other, as they are shown together.

package struct TaskGraph: Sendable, Hashable {
  package struct Member: Sendable, Hashable {
    package var id: TaskID
    package var ref: String?
    package var type: String
    package var status: TaskStatus

    package init(id: TaskID, ref: String?, type: String, status: TaskStatus) {
      self.id = id
      self.ref = ref
      self.type = type
      self.status = status
    }
  }

  /// `to` waits for `from`.
  package struct Edge: Sendable, Hashable {
    package var from: TaskID
    package var to: TaskID

    package init(from: TaskID, to: TaskID) {
      self.from = from
      self.to = to
    }
  }

  package var id: TaskID
  package var members: [Member]
  /// Ordered by `to`, then as submitted. `from` may be of another graph, or deleted.
  package var edges: [Edge]

  package init(id: TaskID, members: [Member], edges: [Edge]) {
    self.id = id
    self.members = members
    self.edges = edges
  }
}

/// What a step of a cascade has done.
package struct Settlement: Sendable, Hashable {
  /// Where READY tasks appeared.
  package var lanes: Set<Lane>
  package var cancelled: Int
  /// True when there is more to do at once.
  package var isPartial: Bool

  package init(lanes: Set<Lane>, cancelled: Int, isPartial: Bool) {
    self.lanes = lanes
    self.cancelled = cancelled
    self.isPartial = isPartial
  }
}
