// What has to be known of a task to say why it is not running, as the stores read it in one call. `Explanation` decides.

package struct ExplainFacts: Sendable, Hashable {
  /// By the store's clock.
  package var now: Timestamp
  /// Without payload and result.
  package var task: TaskRecord
  /// The end of the running attempt's lease.
  package var leasedUntil: Timestamp?
  /// The first `mostNamed` dependencies that are still to be met, by id, with their states; less those that the caller may not
  /// see.
  package var waitsFor: [Parent] = []
  /// How many there are in all.
  package var unmet = 0
  /// How many tasks of its queue that can be given out come before this one, if it is READY itself; nil for more than
  /// `mostAhead`.
  package var ahead: Int? = 0
  /// Those that are alive.
  package var workers: [WorkerRecord] = []
  package var limits = Limits()

  package struct Parent: Sendable, Hashable {
    package var id: TaskID
    package var status: TaskStatus

    package init(id: TaskID, status: TaskStatus) {
      self.id = id
      self.status = status
    }
  }

  /// What the settings of its queue and type say.
  package struct Limits: Sendable, Hashable {
    package var isQueuePaused = false
    package var isTypePaused = false
    /// Of the queue.
    package var concurrency: Slots?
    /// Of the task's concurrency key.
    package var concurrencyOfKey: Slots?
    package var rate: Rate?

    package init() {}

    /// Limits concern READY tasks only.
    package init(_ situation: Situation, isReady: Bool, now: Timestamp) {
      let settings = situation.queue
      isQueuePaused = settings.isPaused
      isTypePaused = situation.isTypePaused
      guard isReady else { return }
      concurrency = settings.concurrency.map { Slots(limit: $0, taken: situation.running) }
      if let taken = situation.slotsTaken, let limit = settings.concurrencyPerKey {
        concurrencyOfKey = Slots(limit: limit, taken: taken)
      }
      if let perSecond = settings.ratePerSecond, var bucket = situation.bucket {
        bucket.refill(settings, now: now)
        rate = Rate(perSecond: perSecond, nextAt: now + bucket.nextIn(settings))
      }
    }
  }

  /// What holds back a READY task, or any by a pause.
  package struct Situation: Sendable, Hashable {
    package var queue = QueueSettings()
    package var isTypePaused = false
    /// Tasks of the queue that run.
    package var running = 0
    /// Nil without a rate.
    package var bucket: RateBucket?
    /// Slots of the task's concurrency key that are taken, if the task waits for one.
    package var slotsTaken: Int?

    package init() {}
  }

  package struct Slots: Sendable, Hashable {
    package var limit: Int
    package var taken: Int

    package init(limit: Int, taken: Int) {
      self.limit = limit
      self.taken = taken
    }

    var isFull: Bool { taken >= limit }
  }

  /// A token bucket.
  package struct Rate: Sendable, Hashable {
    package var perSecond: Double
    /// When the next task may start; not after `now` where one may start at once.
    package var nextAt: Timestamp

    package init(perSecond: Double, nextAt: Timestamp) {
      self.perSecond = perSecond
      self.nextAt = nextAt
    }
  }

  package static let mostNamed = 20
  package static let mostAhead = 1000

  package init(now: Timestamp, task: TaskRecord) {
    self.now = now
    self.task = task
  }
}

package protocol ExplainBook: Sendable {
  /// What there is to know of one task; nil where there is none.
  func facts(of id: TaskID) async throws(StoreError) -> ExplainFacts?
}
