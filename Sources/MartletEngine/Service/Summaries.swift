// Answers of `TaskService` that are more than one record.

package import MartletCore

package struct QueueSummary: Sendable, Hashable {
  package var name: String
  /// Every status, zeros included.
  package var counts: [TaskStatus: Int]
  /// How long the READY task that waits longest has waited; nil when none is READY.
  package var oldestReadySeconds: Double?
  /// Attempts of this queue's tasks that ended on this node within the last minute, per second.
  package var throughputPerSecond: Double
  package var settings: QueueSettings
}

package struct TypeSummary: Sendable, Hashable {
  package var name: String
  package var settings: TypeSettings
  /// Ids of the live workers that handle it.
  package var workers: [String]
  /// Every status, zeros included.
  package var counts: [TaskStatus: Int]
}

package struct Statistics: Sendable, Hashable {
  package var countedAt: Timestamp
  /// Every status, zeros included.
  package var byStatus: [TaskStatus: Int]
  package var byType: [String: [TaskStatus: Int]]
  /// On this node within the last minute, per second.
  package var submittedPerSecond: Double
  package var finishedPerSecond: Double
  /// Seconds, over the last minute on this node; nil when nothing ended.
  package var wait: Latency?
  package var run: Latency?

  package struct Latency: Sendable, Hashable {
    package var p50: Double
    package var p99: Double
  }
}

/// What `/health/ready` shows.
package struct Readiness: Sendable, Hashable {
  package struct Component: Sendable, Hashable {
    package var name: String
    package var isHealthy: Bool
    package var detail: String?
    /// The detail has the store's own words, which may name hosts, users and files.
    package var isForOperators = false

    package init(name: String, isHealthy: Bool, detail: String? = nil, isForOperators: Bool = false) {
      self.name = name
      self.isHealthy = isHealthy
      self.detail = detail
      self.isForOperators = isForOperators
    }
  }
  package var components: [Component]
  /// False when this node should get no traffic: store down, or draining.
  package var canServe: Bool
}
