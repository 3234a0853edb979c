// A backlog drained. It is stored before the worker starts; the end is when the store says that all tasks have succeeded.

internal import MartletCore
internal import MartletEngine

extension Bench {
  /// With SQLite by the engine in this process, with PostgreSQL by processes of their own.
  func drain(_ results: inout Results) async throws {
    let total = options.drainTasks
    let course = try await withStore { store, place in
      try await fill(store, total)
      let begin = ContinuousClock.now
      guard case .postgres = place else {
        let meter = Meter()
        return try await withEngine(store, handlers: [NoOp(meter: meter)]) { _ in
          try await Course(of: total, in: store, since: begin) { meter.ran }
        }
      }
      return try await withNodes(options.nodes, on: place) { nodes in
        var course = try await Course(of: total, in: store, since: begin) {
          try nodes.reduce(0) { $0 + (try $1.ran()) }
        }
        course.megabytes = nodes.compactMap(\.peakMegabytes).max()
        return course
      }
    }
    results.add(.drain, "from the first", course.rateFromTheFirst, "tasks/s")
    results.add(.drain, "with the start", course.rate, "tasks/s")
    if let megabytes = course.megabytes { results.add(.drain, "peak memory of the worker", megabytes, "MB") }
    if options.database != nil {
      for (index, rate) in course.eighths.enumerated() { results.add(.drain, "eighth \(index + 1)", rate, "tasks/s") }
    } else {
      let limit = try await withStore { store, _ in
        try await fill(store, total)
        let start = ContinuousClock.now
        try await claimAndFinishAll(store)
        return Double(total) / elapsed(since: start)
      }
      results.add(.drain, "limit: bare claims and finishes of 500", limit, "tasks/s")
    }
  }

  /// Stores READY tasks, by a few callers at once.
  func fill(_ store: any TaskStore, _ total: Int, priorities: ClosedRange<Int> = 5...5) async throws {
    let callers = min(4, (total + 999) / 1000)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for caller in 0..<callers {
        group.addTask {
          var left = total / callers + (caller < total % callers ? 1 : 0)
          while left > 0 {
            _ = try await store.submit([Submission(try noOps(min(left, 1000), priorities: priorities))])
            left -= min(left, 1000)
          }
        }
      }
      try await group.waitForAll()
    }
  }

  func claimAndFinishAll(_ store: any TaskStore) async throws {
    var token: Int64 = 1
    while true {
      token += 1
      let request = ClaimRequest(worker: "bench", queues: ["default"], types: ["noop"], limit: 500, token: token)
      let claimed = try await store.claim([request])[0]
      if claimed.isEmpty { return }
      _ = try await store.finish(
        claimed.map { Finish(lease: $0.lease, outcome: .success(result: nil), randomness: 0.5) })
    }
  }
}

private let ids = TaskIDGenerator(random: .system)

/// Tasks as `TaskService` makes them.
func noOps(_ count: Int, priorities: ClosedRange<Int>) throws -> [AcceptedTask] {
  let now = wallClock()
  return try (0..<count).map { index in
    var task = NewTask(type: NoOp.type, payload: samplePayload)
    task.priority = priorities.lowerBound + index % priorities.count
    return try task.accepted(id: ids.next(at: now), defaults: TaskDefaults(), now: now)
  }
}

/// How a drain went.
struct Course: Sendable {
  private let begin: ContinuousClock.Instant
  /// How many had run and when, at the first that was seen and at every eighth.
  private var marks: [(ran: Int, at: ContinuousClock.Instant)] = []
  private let end: ContinuousClock.Instant
  private let total: Int
  var megabytes: Double?

  /// Follows it to its end.
  init(
    of total: Int, in store: any TaskStore, since begin: ContinuousClock.Instant, ran: () throws -> Int
  ) async throws {
    self.begin = begin
    self.total = total
    var done = 0
    while done < total {
      try await Task.sleep(for: .milliseconds(2))
      done = try ran()
      let now = ContinuousClock.now
      if done > 0, marks.isEmpty { marks.append((done, now)) }
      while !marks.isEmpty, marks.count <= 8, done * 8 >= total * marks.count { marks.append((done, now)) }
    }
    while try await store.counts().contains(where: { $0.status != .success }) {
      try await Task.sleep(for: .milliseconds(2))
    }
    end = ContinuousClock.now
  }

  var rate: Double { Double(total) / seconds(from: begin, to: end) }

  var rateFromTheFirst: Double { Double(total - marks[0].ran) / seconds(from: marks[0].at, to: end) }

  /// Of each eighth of the tasks.
  var eighths: [Double] {
    zip(marks, marks.dropFirst()).map { Double($1.ran - $0.ran) / max(seconds(from: $0.at, to: $1.at), 1e-3) }
  }
}
