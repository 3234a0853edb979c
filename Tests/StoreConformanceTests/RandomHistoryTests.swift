// Random commands on a store and on the reference model in lockstep: every verdict, and after every step everything that can
// be read, must be the same. A failing seed is printed and is all that is needed to see it again.

import Foundation
import MartletCore
import MartletTestKit
import Testing

@Suite struct RandomHistoryTests {
  /// Seeds tried; MARTLET_SEEDS says how many, for a longer look.
  static let seeds = ProcessInfo.processInfo.environment["MARTLET_SEEDS"].flatMap(UInt64.init) ?? 40
  private static let steps = 60

  @Test(arguments: stores.filter { $0.name != "memory" })
  func `a store does what the reference model does, whatever the history`(store: StoreUnderTest) async throws {
    var told: [String: Int] = [:]
    // Over a network everything takes longer, above all to read it all: half as many, and read less often.
    let isFar = store.name == "postgres"
    for seed in 1...(isFar ? max(1, Self.seeds / 2) : Self.seeds) {
      try await store.onBench { bench in
        let model = StoreBench(store: MemoryStore(clock: bench.time.clock), time: bench.time, directory: "")
        var history = RandomHistory(seed: seed)
        let isTold = seed.isMultiple(of: 3)
        if isTold {
          for bench in [bench, model] { _ = try await bench.store.attend(to: ["kafka"]) }
        }
        for step in 1...Self.steps {
          let command = history.next(now: bench.now)
          let verdict = try await history.carryOut(command, on: bench, isModel: false)
          let expected = try await history.carryOut(command, on: model, isModel: true)
          let turns = try await (bench.admitAll(), model.admitAll())
          // Nobody comes too late to have one give way that nobody takes.
          #expect(
            turns.1.map { $0 >= turns.0 ?? .seconds(1_000_000) } ?? true,
            "seed \(seed), step \(step): \(command) \(turns)")
          if turns.1 != nil { told["somebody's turn", default: 0] += 1 }
          told[String(verdict.prefix { $0 != "(" }), default: 0] += 1
          #expect(verdict == expected, "seed \(seed), step \(step): \(command)")
          if isFar, step % 6 != 0, verdict == expected { continue }
          let snapshot = try await bench.snapshot()
          let differences = try await snapshot.differences(from: model.snapshot())
          #expect(differences.isEmpty, "seed \(seed), step \(step): \(command)\n\(differences.joined(separator: "\n"))")
          for history in snapshot.histories {
            let problems = HistoryRules.problems(
              of: history.task, events: history.events, attempts: history.attempts)
            #expect(problems.isEmpty, "seed \(seed), step \(step): \(problems)")
          }
          if verdict != expected || !differences.isEmpty { return }
        }
        for id in history.known {
          #expect(try await bench.store.facts(of: id) == (try await model.store.facts(of: id)), "seed \(seed)")
        }
        func audit(_ bench: StoreBench) async throws -> [String] {
          try await bench.audit { $0.limit = 1000 }
            .map { "\($0.at) \($0.actor) \($0.action) \($0.target) \($0.detail ?? "")" }.sorted()
        }
        #expect(try await audit(bench) == (try await audit(model)), "seed \(seed)")
        let (notices, expected) = try await (bench.allNotices(), model.allNotices())
        #expect(notices == expected, "seed \(seed)")
        for notice in notices { told["notice of \(notice.taskStatus.rawValue)", default: 0] += 1 }
        if isTold {
          let (page, expected) = try await (bench.entries(), model.entries())
          #expect(page.stories == expected.stories, "seed \(seed)")
          for (task, entries) in Dictionary(grouping: page.entries, by: \.task) {
            let sequences = entries.flatMap { Array($0.sequences) }
            #expect(sequences == Array(1...(page.stories[task]?.record.sequence ?? 0)), "seed \(seed): \(task)")
            told["told by the outbox", default: 0] += 1
          }
          #expect(Set(page.stories.keys) == Set(expected.stories.keys), "seed \(seed)")
        }
        for history in try await bench.snapshot().histories {
          for attempt in history.attempts { told[attempt.outcome?.rawValue ?? "running", default: 0] += 1 }
          told[history.task.status.rawValue, default: 0] += 1
          told[history.task.reason?.rawValue ?? "", default: 0] += 1
          if !history.task.dependencies.isEmpty, history.task.attempt > 0 {
            told["waited and went on", default: 0] += 1
          }
        }
      }
    }
    // Histories in which these never come about compare nothing.
    let others = [
      "running", "accepted", "cancel", "retry", "purge", "replayed", "keyReused", "unknownDependencies",
      "DEPENDENCY_FAILED", "waited and went on", "queueFull", "somebody's turn",
      "told by the outbox", "notice of SUCCESS", "notice of DEAD", "notice of CANCELLED",
    ]
    for name in AttemptOutcome.allCases.map(\.rawValue) + TaskStatus.allCases.map(\.rawValue) + others {
      #expect(told[name, default: 0] > 0, "\(name) never came about")
    }
  }
}

/// Draws commands that collide: few types and queues, old leases, ids that are there already.
struct RandomHistory {
  enum Command {
    case advance(Duration)
    case submit(Submission)
    case claim(ClaimRequest)
    case renew(Renewal)
    case finish(Finish)
    case promote(limit: Int)
    case rescue(randomness: Double)
    case steer(Steering)
    case bulk(BulkOrder, page: Int, keys: Duration)
    case prune(RetentionPolicy)
    case graph(TaskID)
    case register(WorkerRecord)
    case unregister(String)
    case change(String, QueuePatch)
    case put(String, TypeSettings)
  }

  private var random: SplitMix64
  private var submissions: [Submission] = []
  private var tasks: [AcceptedTask] = []
  private var stored: [AcceptedTask] = []
  private var leases: [LeaseID] = []
  private var bulks = 0
  /// The latest tasks that there were.
  var known: [TaskID] { tasks.suffix(12).map(\.id) }
  /// Whether a claim may leave a task that has expired and that others wait for to the promoter is the store's affair. Half of
  /// the histories have such tasks, and a promotion before each claim.
  private let parentsExpire: Bool
  /// So it is with expired tasks of limited queues, and how these take their turns in claims over several queues: every other
  /// of those histories has limits, and claims from one queue at a time.
  private let hasLimits: Bool

  init(seed: UInt64) {
    random = SplitMix64(state: seed)
    parentsExpire = seed.isMultiple(of: 2)
    hasLimits = seed.isMultiple(of: 4)
  }

  mutating func next(now: Timestamp) -> Command {
    if hasLimits, below(10) == 0 {
      var random = random
      defer { self.random = random }
      let below = { (bound: Int) in Int(random.next() % UInt64(bound)) }
      return below(4) == 0
        ? .put(["x", "y"][below(2)], randomTypeSettings(below)) : .change(["a", "b"][below(2)], randomPatch(below))
    }
    switch below(100) {
    case 0: return .graph(Self.graph(below(Self.graphs)))
    case 1..<20:
      return .advance(.milliseconds([1, 500, 1000, 5000, 20_000, 60_000][below(6)]))
    case 20..<38:
      if below(8) == 0, let old = submissions.randomElement(using: &random) { return .submit(old) }
      submissions.append(submission(now: now))
      return .submit(submissions[submissions.count - 1])
    case 38..<55:
      let queues = hasLimits ? [["a"], ["b"]][below(2)] : [["a"], ["a", "b"], [ClaimRequest.allQueues]][below(3)]
      let limit = 1 + below(4)
      return .claim(
        ClaimRequest(
          worker: "worker-\(below(3))", queues: queues, types: [["x"], ["x", "y"]][below(2)], limit: limit,
          ahead: below(limit + 1), token: Int64(bitPattern: random.next()), isLocal: false))
    case 55..<62:
      guard let lease = lease() else { return .promote(limit: 100) }
      let progress = below(2) == 0 ? Progress(percent: Double(below(101)), message: below(2) == 0 ? "on" : nil) : nil
      return .renew(Renewal(lease: lease, progress: progress, logs: below(2) == 0 ? [] : ["still \(below(9))"]))
    case 62..<78:
      guard let lease = lease() else { return .promote(limit: 100) }
      return .finish(
        Finish(lease: lease, outcome: outcome(), logs: below(2) == 0 ? [] : ["one", "two"], randomness: fraction()))
    case 78..<84: return .promote(limit: [1, 2, 100][below(3)])
    case 84..<89: return .rescue(randomness: fraction())
    case 89..<91: return bulk()
    case 91..<96:
      guard let task = tasks.randomElement(using: &random) else { return .promote(limit: 100) }
      return .steer(Steering(action(now: now), task: task.id, actor: "key-\(below(2))"))
    case 96..<98:
      return .prune(
        RetentionPolicy(
          success: .seconds(30), dead: below(2) == 0 ? nil : .seconds(60), cancelled: .zero,
          keys: below(2) == 0 ? .zero : .seconds(60)))
    case 98:
      var worker = WorkerRecord.stub("worker-\(below(3))", running: below(5))
      if below(3) == 0 { worker.kind = .remote }
      return .register(worker)
    default:
      return .unregister("worker-\(below(3))")
    }
  }

  /// What the store said, as text, so that answers of all kinds can be compared. Leases and what is stored are learned from the
  /// model's answers.
  mutating func carryOut(_ command: Command, on bench: StoreBench, isModel: Bool) async throws -> String {
    if parentsExpire, case .claim = command {
      try await bench.promote()
      try await bench.settleAll()
      try await bench.admitAll()
    }
    let answer = try await answer(command, on: bench, isModel: isModel)
    try await bench.settleAll()
    return answer
  }

  private mutating func answer(_ command: Command, on bench: StoreBench, isModel: Bool) async throws -> String {
    let store = bench.store
    switch command {
    case .advance(let duration):
      if !isModel { bench.advance(duration) }  // both have the same clock
      return ""
    case .submit(let submission):
      let verdict = try #require(try await store.submit([submission]).first)
      switch verdict {
      case .accepted: if isModel { stored += submission.tasks }
      case .replayed(let at, let earlier):
        if isModel { stored += submission.tasks.enumerated().filter { earlier[$0.offset] == nil }.map(\.element) }
        return "replayed(\(at), \(earlier.sorted { $0.key < $1.key }))"
      case .keyReused, .unknownDependencies, .queueFull: break
      }
      return "\(verdict)"
    case .claim(let request):
      let claimed = try await store.claim([request])
      if isModel { leases += claimed.joined().map(\.lease) }
      return "\(claimed)"
    case .renew(let renewal): return "\(try await store.renew([renewal]))"
    case .finish(let finish): return "\(try await store.finish([finish]))"
    case .promote(let limit):
      let promotion = try await store.promote(limit: limit)
      let lanes = promotion.lanes.map { "\($0.queue)/\($0.type)" }.sorted()
      return "\(promotion.promoted) \(promotion.expired) \(lanes) \(String(describing: promotion.nextIn))"
    case .rescue(let randomness): return "\(try await store.rescue(limit: 1000, randomness: randomness))"
    case .steer(let steering): return "\(try await store.steer([steering]))"
    case .bulk(let order, let page, let keys):
      let job = try await bench.runBulk(order, limit: page, keys: keys).job
      return "\(order.action)(\(job.matched) \(job.changed) \(job.failed) \(job.status))"
    case .prune(let policy): return "\(try await store.prune(policy, limit: 1000))"
    case .graph(let id): return "\(String(describing: try await store.graph(id)))"
    case .register(let worker): return "\(try await store.register(worker))"
    case .unregister(let id): return "\(try await store.unregister(worker: id))"
    case .change(let queue, let patch): return "\(try await store.change(queue: queue, patch, actor: "key-1"))"
    case .put(let type, let settings): return "\(try await store.put(type: type, settings, actor: "key-1"))"
    }
  }

  private static let graphs = 3
  private static func graph(_ number: Int) -> TaskID { .stub(90_000 + number) }

  /// One task or a few, that may wait for each other and for earlier ones and may have keys.
  private mutating func submission(now: Timestamp) -> Submission {
    var new: [AcceptedTask] = []
    for number in 0...below(3) {
      var task = task(now: now)
      if below(2) == 0 { addDependencies(to: &task, among: new) }
      if below(3) == 0 { task.ref = "ref-\(number)" }
      if below(hasLimits ? 2 : 8) == 0 { task.concurrencyKey = "é \(below(3))" }
      if below(8) == 0 { task.scheduleName = "nightly" }
      if tasks.count.isMultiple(of: 3) {
        task.notify = [
          NoticeTarget(.webhook("https://a.example/x"), on: [.success, .dead, .cancelled]),
          NoticeTarget(.email("ops@example.com"), on: [.dead]),
        ]
      }
      new.append(task)
      tasks.append(task)
    }
    new.shuffle(using: &random)
    guard below(3) == 0 else { return Submission(new) }
    let fingerprint = [UInt8](repeating: 1 + UInt8(below(2)), count: 32)
    let covered = below(2) == 0 ? Array(new.indices) : [below(new.count)]
    let key = IdempotencyKey("key-\(below(3))", fingerprint: fingerprint, tasks: covered)
    if covered.count == 1 { new[covered[0]].idempotencyKey = key.text }
    return Submission(new, keys: [key])
  }

  private mutating func addDependencies(to task: inout AcceptedTask, among new: [AcceptedTask]) {
    let candidates = (stored.suffix(6) + new).filter { parentsExpire || $0.expiresAt == nil }.map(\.id)
    task.dependencies = Array(Set((0...below(3)).compactMap { _ in candidates.randomElement(using: &random) })).sorted()
    if below(20) == 0 { task.dependencies.append(.stub(99_999)) }  // stored nowhere
    task.onDependencyFailure = DependencyPolicy.allCases[below(3)]
    let graph = Self.graph(below(Self.graphs))
    task.graph = [.none, .member(graph), .joinsFirstDependency(orElse: graph)][below(3)]
  }

  private mutating func task(now: Timestamp) -> AcceptedTask {
    let number = tasks.count + 1 + below(3) * 1000  // ids need not come in order
    let eligible: When = [.now, .now, .after(.seconds(below(30))), .at(now + .seconds(below(40) - 20))][below(4)]
    return .stub(
      tasks.contains { $0.id == .stub(number) } ? 10_000 + tasks.count : number, type: ["x", "y"][below(2)],
      queue: ["a", "b"][below(2)], payload: "[\(number)]", priority: 1 + below(9), eligible: eligible,
      retries: below(3), backoff: RetryPolicy(baseSeconds: 2, jitter: 0.5), timeout: .seconds(5 + below(40)),
      lease: .seconds(1 + below(20)), expiresAt: below(5) == 0 ? now + .seconds(1 + below(30)) : nil,
      tags: below(2) == 0 ? ["t"] : [], metadata: below(2) == 0 ? ["k": "v"] : [:])
  }

  private mutating func lease() -> LeaseID? {
    // Mostly one of the latest, sometimes an old one, sometimes one that never was.
    let candidates = below(3) == 0 ? leases[...] : leases.suffix(4)
    guard var lease = candidates.randomElement(using: &random) else { return nil }
    switch below(12) {
    case 0: lease.token += 1
    case 1: lease.attempt += 1
    default: break
    }
    return lease
  }

  private mutating func outcome() -> Outcome {
    switch below(11) {
    case 0, 1: .success(result: nil)
    case 2: .success(result: Array("[2]".utf8))
    case 3, 4: .failed(.stub, .retry)
    case 5: .failed(.stub, .retryAfter(.seconds(7)))
    case 6: .failed(.stub, .giveUp(.nonRetryable))
    case 7: .timedOut
    case 8: .cancelled
    case 9: .snoozed(.seconds(below(10)))
    default: .released
    }
  }

  private mutating func action(now: Timestamp) -> Steering.Action {
    switch below(4) {
    case 0: return .cancel
    case 1: return .retry
    default:
      let times: [When?] = [nil, .now, .after(.seconds(10)), .at(now + .seconds(below(40) - 20))]
      return .patch(
        TaskPatch(
          priority: below(2) == 0 ? nil : 1 + below(9), available: times[below(4)], tags: below(3) == 0 ? ["u"] : nil,
          metadata: below(3) == 0 ? ["m": "n"] : nil))
    }
  }

  private mutating func bulk() -> Command {
    bulks += 1
    var filter = TaskQuery()
    if below(2) == 0 { filter.types = ["x"] }
    if below(3) == 0 { filter.tag = "t" }
    if below(3) == 0 { filter.graphID = Self.graph(below(Self.graphs)) }
    let order = BulkOrder.stub(
      bulks, BulkAction.allCases[below(3)], limit: below(3) == 0 ? 1 + below(3) : nil,
      queues: below(3) == 0 ? ["a*"] : nil, { $0 = filter })
    return .bulk(order, page: [1, 2, 100][below(3)], keys: below(2) == 0 ? .zero : .seconds(60))
  }

  private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
  private mutating func fraction() -> Double { Double(random.next() >> 11) * 0x1p-53 }
}

extension StoreBench {
  /// All that a sink has not heard of.
  fileprivate func entries() async throws -> OutboxPage {
    try #require(
      try await store.takePage(for: "kafka", relay: "relay", limit: 100_000, hold: .seconds(3600)))
  }
}
