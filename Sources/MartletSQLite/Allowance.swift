// What a claim may still begin in queues that have a concurrency or a rate, and who is told when it may not. Decided in the
// transaction that claims, from the counts of what runs and the tokens of the queue's row. Called by the claim.

internal import MartletCore

/// How many tasks one claim may still begin in one queue.
struct Allowance {
  /// What the queue's concurrency leaves.
  private var room: Int
  /// Nil where the queue has no rate.
  private(set) var bucket: RateBucket?
  private(set) var taken = 0

  fileprivate init(room: Int, bucket: RateBucket?) {
    self.room = room
    self.bucket = bucket
  }

  var left: Int { min(room, bucket?.whole ?? .max) }
  var hasRoom: Bool { room > 0 }

  mutating func take() {
    taken += 1
    room -= 1
    bucket?.take(1)
  }
}

/// By queue, of those that are limited.
typealias Allowances = [String: Allowance]

extension WriteTransaction {
  func allowances(in lanes: Set<Lane>) throws -> Allowances {
    let settings = try settings()
    var allowances: Allowances = [:]
    if !settings.hasLimits { return allowances }
    for queue in Set(lanes.map(\.queue)) {
      guard let limits = settings.queues[queue], limits.isLimited else { continue }
      let room = try limits.concurrency.map { max(0, $0 - (try counted(in: queue, [.running]))) }
      allowances[queue] = Allowance(
        room: room ?? .max, bucket: limits.ratePerSecond == nil ? nil : try bucket(of: queue, limits))
    }
    return allowances
  }

  /// How many tasks of a queue there are of these statuses.
  func counted(in queue: String, _ statuses: Set<TaskStatus>) throws -> Int {
    var sum = change(in: queue, of: statuses)
    let statement = try prepared("SELECT status, count FROM counts WHERE queue = ?1")
    for row in try statement.rows(queue, read: { (status: try TaskStatus(code: $0.int()), count: Int($0.int())) })
    where statuses.contains(row.status) {
      sum += row.count
    }
    return sum
  }

  private func bucket(of queue: String, _ limits: QueueSettings) throws -> RateBucket {
    let stored = try prepared("SELECT tokens, counted_at FROM queues WHERE queue = ?1").row(queue) { columns in
      (tokens: columns.optionalDouble(), countedAt: columns.optionalTime())
    }
    guard let tokens = stored?.tokens, let countedAt = stored?.countedAt else {
      return RateBucket(full: limits, at: now)
    }
    var bucket = RateBucket(tokens: tokens, countedAt: countedAt)
    bucket.refill(limits, now: now)
    return bucket
  }

  /// Writes down the tokens that a claim took, and tells of what it had to leave in the lanes.
  func close(_ allowances: Allowances, of lanes: Set<Lane>) throws {
    for (queue, allowance) in allowances {
      if allowance.taken > 0, let bucket = allowance.bucket {
        try prepared("UPDATE queues SET tokens = ?2, counted_at = ?3 WHERE queue = ?1")
          .run(queue, bucket.tokens, bucket.countedAt)
      }
      guard allowance.left <= 0 else { continue }
      let left = Set(try lanes.filter { try $0.queue == queue && isReady($0) })
      if left.isEmpty { continue }
      if !allowance.hasRoom { memory.noteWithoutRoom(left, in: queue) }
      if let bucket = allowance.bucket, bucket.whole < 1 {
        told.append(.later(left, bucket.nextIn(try settings()[queue])))
      }
    }
  }

  private func isReady(_ lane: Lane) throws -> Bool {
    try prepared(
      """
      SELECT 1 FROM task_runs INDEXED BY task_runs_ready
      WHERE status = 2 AND blocked = 0 AND queue = ?1 AND type = ?2 LIMIT 1
      """
    ).row(lane.queue, lane.type) { _ in true } ?? false
  }

  // MARK: Depth

  /// A queue that has no room for these tasks, as far as they are new.
  func fullQueue(adding tasks: [AcceptedTask]) throws -> String? {
    let maxDepths = try settings().maxDepths
    if maxDepths.isEmpty { return nil }
    var added: [String: Int] = [:]
    for index in tasks.indices where maxDepths[tasks[index].queue] != nil {
      if try !isStored(tasks[index].id) { added[tasks[index].queue, default: 0] += 1 }
    }
    return try added.keys.sorted().first { queue in
      guard let maxDepth = maxDepths[queue], let new = added[queue] else { return false }
      return try counted(in: queue, [.pending, .ready, .retry]) + new > maxDepth
    }
  }

  private func isStored(_ id: TaskID) throws -> Bool {
    try prepared("SELECT 1 FROM task_bodies WHERE id = ?1").row(id) { _ in true } ?? false
  }
}
