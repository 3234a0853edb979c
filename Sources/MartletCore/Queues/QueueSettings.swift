// What operators set for a queue. Stores keep it and hold to it in their claims and submissions; `PATCH /queues/{queue}` changes
// it.

package struct QueueSettings: Sendable, Hashable {
  /// Nothing of it is given out.
  package var isPaused = false
  /// Tasks that run at once, over all nodes; nil is any number. 1…1,000,000.
  package var concurrency: Int?
  /// The same for the tasks of one concurrency key.
  package var concurrencyPerKey: Int? = 1
  /// Attempts that are begun in a second, over all nodes; nil is any number. 0.001…1,000,000.
  package var ratePerSecond: Double?
  /// How many may be begun at once after a rest; nil: as many as one second brings, at least one. 1…1,000,000. Without meaning
  /// where there is no rate.
  package var burst: Int?
  /// Tasks that may wait (PENDING, READY or RETRY); a submission that would bring more is refused. 1…1,000,000,000.
  package var maxDepth: Int?
  /// Who is told how its tasks ended, where neither they nor their types say it; nil leaves it to the installation.
  package var notify: [NoticeTarget]?

  package init() {}

  /// True where claims have to be counted.
  package var isLimited: Bool { concurrency != nil || ratePerSecond != nil }

  /// Tokens that the bucket of the rate holds at most.
  package var capacity: Double {
    burst.map { Double($0) } ?? max(1, ratePerSecond ?? 1)
  }
}

/// A change of some of the settings.
package struct QueuePatch: Sendable, Hashable {
  package enum Limit<Value: Sendable & Hashable>: Sendable, Hashable {
    case keep
    /// Without limit, as JSON's `null` says.
    case none
    case value(Value)
  }

  package var isPaused: Bool?
  package var concurrency = Limit<Int>.keep
  package var concurrencyPerKey = Limit<Int>.keep
  package var ratePerSecond = Limit<Double>.keep
  package var burst = Limit<Int>.keep
  package var maxDepth = Limit<Int>.keep
  package var notify = Limit<[NoticeTarget]>.keep

  package init() {}

  package func applied(to settings: QueueSettings) -> QueueSettings {
    var settings = settings
    settings.isPaused = isPaused ?? settings.isPaused
    settings.concurrency = concurrency.applied(to: settings.concurrency)
    settings.concurrencyPerKey = concurrencyPerKey.applied(to: settings.concurrencyPerKey)
    settings.ratePerSecond = ratePerSecond.applied(to: settings.ratePerSecond)
    settings.burst = burst.applied(to: settings.burst)
    settings.maxDepth = maxDepth.applied(to: settings.maxDepth)
    settings.notify = notify.applied(to: settings.notify)
    return settings
  }

  /// What is wrong with the values; the pointers are into the body of `PATCH /queues/{queue}`.
  package var problems: [ValidationProblem] {
    var problems = Problems()
    problems.check(concurrency.value, in: 1...1_000_000, at: "/concurrency")
    problems.check(concurrencyPerKey.value, in: 1...1_000_000, at: "/concurrencyPerKey")
    problems.check(ratePerSecond.value, in: 0.001...1_000_000, at: "/ratePerSecond")
    problems.check(burst.value, in: 1...1_000_000, at: "/burst")
    problems.check(maxDepth.value, in: 1...1_000_000_000, at: "/maxDepth")
    problems.checkNotify(notify.value)
    return problems.all
  }
}

extension QueuePatch.Limit {
  package var value: Value? {
    if case .value(let value) = self { value } else { nil }
  }

  fileprivate func applied(to old: Value?) -> Value? {
    switch self {
    case .keep: old
    case .none: nil
    case .value(let value): value
    }
  }
}
