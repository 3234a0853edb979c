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
        for step in 1...Self.steps {
          let command = history.next(now: bench.now)
          let verdict = try await history.carryOut(command, on: bench, isModel: false)
          let expected = try await history.carryOut(command, on: model, isModel: true)
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
        for history in try await bench.snapshot().histories {
          for attempt in history.attempts { told[attempt.outcome?.rawValue ?? "running", default: 0] += 1 }
          told[history.task.status.rawValue, default: 0] += 1
        }
      }
    }
    // Histories in which these never come about compare nothing.
    for name in AttemptOutcome.allCases.map(\.rawValue) + TaskStatus.allCases.map(\.rawValue) + ["running"] {
      #expect(told[name, default: 0] > 0, "\(name) never came about")
    }
  }
}

/// Draws commands that collide: few types and queues, old leases, ids that are there already.
private struct RandomHistory {
  enum Command {
    case advance(Duration)
    case submit([AcceptedTask])
    case claim(ClaimRequest)
    case renew(Renewal)
    case finish(Finish)
    case promote(limit: Int)
    case rescue(randomness: Double)
    case steer(Steering)
    case prune(RetentionPolicy)
    case register(WorkerRecord)
    case unregister(String)
  }

  private var random: SplitMix64
  private var tasks: [AcceptedTask] = []
  private var leases: [LeaseID] = []

  init(seed: UInt64) {
    random = SplitMix64(state: seed)
  }

  mutating func next(now: Timestamp) -> Command {
    switch below(100) {
    case 0..<20:
      return .advance(.milliseconds([1, 500, 1000, 5000, 20_000, 60_000][below(6)]))
    case 20..<38:
      if below(8) == 0, let old = tasks.randomElement(using: &random) { return .submit([old]) }
      let new = (0...below(3)).map { _ in task(now: now) }
      tasks += new
      return .submit(new)
    case 38..<55:
      let queues = [["a"], ["a", "b"], [ClaimRequest.allQueues]][below(3)]
      let limit = 1 + below(4)
      return .claim(
        ClaimRequest(
          worker: "worker-\(below(3))", queues: queues, types: [["x"], ["x", "y"]][below(2)], limit: limit,
          ahead: below(limit + 1), token: Int64(bitPattern: random.next()), isLocal: false))
    case 55..<62:
      guard let lease = lease() else { return .promote(limit: 100) }
      let progress = below(2) == 0 ? Progress(percent: Double(below(101)), message: below(2) == 0 ? "on" : nil) : nil
      return .renew(Renewal(lease: lease, progress: progress))
    case 62..<78:
      guard let lease = lease() else { return .promote(limit: 100) }
      return .finish(
        Finish(lease: lease, outcome: outcome(), logs: below(2) == 0 ? [] : ["one", "two"], randomness: fraction()))
    case 78..<84: return .promote(limit: [1, 2, 100][below(3)])
    case 84..<89: return .rescue(randomness: fraction())
    case 89..<96:
      guard let task = tasks.randomElement(using: &random) else { return .promote(limit: 100) }
      return .steer(Steering(action(now: now), task: task.id, actor: "key-\(below(2))"))
    case 96..<98:
      return .prune(RetentionPolicy(success: .seconds(30), dead: below(2) == 0 ? nil : .seconds(60), cancelled: .zero))
    case 98:
      return .register(.stub("worker-\(below(3))", running: below(5)))
    default:
      return .unregister("worker-\(below(3))")
    }
  }

  /// What the store said, as text, so that answers of all kinds can be compared. Leases are learned from the model's answers.
  mutating func carryOut(_ command: Command, on bench: StoreBench, isModel: Bool) async throws -> String {
    let store = bench.store
    switch command {
    case .advance(let duration):
      if !isModel { bench.advance(duration) }  // both have the same clock
      return ""
    case .submit(let tasks): return "\(try await store.submit([Submission(tasks)]))"
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
    case .prune(let policy): return "\(try await store.prune(policy, limit: 1000))"
    case .register(let worker): return "\(try await store.register(worker))"
    case .unregister(let id): return "\(try await store.unregister(worker: id))"
    }
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

  private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
  private mutating func fraction() -> Double { Double(random.next() >> 11) * 0x1p-53 }
}
