// One of the clients of a concurrent history: draws a call, makes it, and writes down what it was told. Some calls are made in pairs
// at the same instant, where two contend for one end of an attempt.

import MartletCore
import MartletTestKit

struct ConcurrentClient: Sendable {
  private var name: String
  private let run: ConcurrentRun
  private let calls: StoreCalls
  private var random: SplitMix64
  private var count = 0

  init(number: Int, of run: ConcurrentRun, calls: StoreCalls? = nil) {
    name = number == 0 ? "reader" : "client-\(number)"
    self.run = run
    self.calls = calls ?? run.nodes[number % run.nodes.count]
    random = SplitMix64(state: run.seed &* 1000 &+ UInt64(number))
  }

  mutating func step() async throws {
    count += 1
    switch below(100) {
    case 0..<8: try await submit()
    case 8..<28: try await claim()
    case 28..<39: if let lease = lease() { try await renew(lease) }
    case 39..<55: if let lease = lease() { try await finish(lease, outcome()) }
    case 55..<59: try await rescue()
    case 59..<65: try await promote()
    case 65..<69: try await steer(.cancel, task())
    case 69..<76: try await steer(.retry, task())
    case 76..<82: try await steer(patch(), task())
    case 82..<85: run.time.advance(by: .milliseconds([1, 1000, 4000][below(3)]))
    case 85..<88: try await endOfLease()
    case 88..<90: try await cancelAndFinish()
    case 90..<93: try await read(task())
    case 93..<96: try await readAttempts(task())
    default: try await readEvents(task())
    }
  }

  mutating func readAll(_ id: TaskID) async throws {
    try await read(id)
    try await readAttempts(id)
    try await readEvents(id)
  }

  // MARK: Work

  private mutating func submit() async throws {
    let position = below(run.tasks.count)
    // Whoever submits a task submits the same.
    let task = AcceptedTask.stub(
      position + 1, eligible: position == 0 ? .after(.seconds(1)) : .now, retries: 1,
      timeout: .seconds(30), lease: .seconds(5))
    try await call({ (calls) async throws(StoreError) in try await calls.submit(Submission([task])) }) { verdict in
      [(task.id, .submit(task), verdict.map { .submitted($0) })]
    }
  }

  private mutating func claim() async throws {
    let ids = below(2) == 0 ? [task()] : nil
    let request = ClaimRequest(
      worker: name, queues: ["default"], types: ["resize"], ids: ids, limit: 1 + below(2),
      token: Int64(truncatingIfNeeded: random.next() % 1_000_000), isLocal: false)
    let kind = TaskCall.Kind.claim(worker: name, token: request.token)
    let isAnswered = try await call({ (calls) async throws(StoreError) in try await calls.claim(request) }) { claimed in
      guard let claimed else { return (ids ?? run.tasks).map { ($0, kind, nil) } }
      for task in claimed { run.board.put(task.lease) }
      return claimed.map { ($0.id, kind, .claimed($0)) }
    }
    if !isAnswered { for id in ids ?? run.tasks { run.board.guess(id, token: request.token) } }
  }

  private mutating func renew(_ lease: LeaseID) async throws {
    let progress = below(2) == 0 ? Progress(percent: Double(below(101)), message: mark()) : nil
    let renewals = [Renewal(lease: lease, progress: progress, logs: below(2) == 0 ? [] : [mark()])]
    try await call({ (calls) async throws(StoreError) in try await calls.renew(renewals) }) { verdicts in
      [(lease.task, .renew(renewals[0]), verdicts?.first.map { .renewed($0) })]
    }
  }

  private mutating func finish(_ lease: LeaseID, _ outcome: Outcome) async throws {
    let logs = below(2) == 0 ? [] : [mark()]
    var finishes = [Finish(lease: lease, outcome: outcome, logs: logs, randomness: 0)]
    // Now and then two reports share a call.
    if let other = below(4) == 0 ? self.lease() : nil {
      finishes.append(Finish(lease: other, outcome: self.outcome(), logs: [mark()], randomness: 0))
    }
    let reports = finishes
    try await call({ (calls) async throws(StoreError) in try await calls.finish(reports) }) { verdicts in
      reports.enumerated().map { ($1.lease.task, .finish($1), (verdicts?[$0]).map { .finished($0) }) }
    }
  }

  // MARK: Duties

  private mutating func rescue() async throws {
    try await call({ (calls) async throws(StoreError) in try await calls.rescue() }) { rescued in
      guard let rescued else { return run.tasks.map { ($0, .rescue, nil) } }
      return rescued.map { ($0.id, .rescue, .rescued($0.outcome, $0.status)) }
    }
  }

  private mutating func promote() async throws {
    try await call({ (calls) async throws(StoreError) in try await calls.promote() }) { count in
      count == 0 ? [] : run.tasks.map { ($0, .promote, count.map { _ in .promoted }) }
    }
  }

  // MARK: Commands

  private mutating func steer(_ action: Steering.Action, _ id: TaskID) async throws {
    let command = Steering(action, task: id, actor: mark())
    try await call({ (calls) async throws(StoreError) in try await calls.steer(command) }) { verdict in
      [(id, .steer(action, actor: command.actor), verdict.map { .steered($0) })]
    }
  }

  // MARK: Two at once

  /// A lease is over, and the report comes with the rescuer.
  private mutating func endOfLease() async throws {
    guard let lease = lease() else { return }
    run.time.advance(by: .seconds(5))
    let outcome = outcome()
    var (worker, rescuer) = (self, twin())
    async let reported: Void = worker.finish(lease, outcome)
    async let rescued: Void = rescuer.rescue()
    _ = try await (reported, rescued)
  }

  private mutating func cancelAndFinish() async throws {
    guard let lease = lease() else { return }
    let outcome = outcome()
    var (worker, other) = (self, twin())
    async let reported: Void = worker.finish(lease, outcome)
    async let cancelled: Void = other.steer(.cancel, lease.task)
    _ = try await (reported, cancelled)
  }

  /// Somebody else with a fate of his own.
  private mutating func twin() -> ConcurrentClient {
    var twin = ConcurrentClient(name: name + "'", like: self)
    twin.random = SplitMix64(state: random.next())
    return twin
  }

  private init(name: String, like other: ConcurrentClient) {
    self = other
    self.name = name
  }

  // MARK: Reading

  private mutating func read(_ id: TaskID) async throws {
    try await call({ (calls) async throws(StoreError) in [try await calls.task(id)] }) { records in
      guard let record = records?.first else { return [] }
      if let record { run.board.saw(record) }
      return [(id, .read, .record(record))]
    }
  }

  private mutating func readAttempts(_ id: TaskID) async throws {
    try await call({ (calls) async throws(StoreError) in [try await calls.attempts(id)] }) { attempts in
      attempts.map { [(id, .readAttempts, .attempts($0[0]))] } ?? []
    }
  }

  private mutating func readEvents(_ id: TaskID) async throws {
    try await call({ (calls) async throws(StoreError) in [try await calls.events(id)] }) { events in
      events.map { [(id, .readEvents, .events($0[0]))] } ?? []
    }
  }

  // MARK: Calls

  private typealias Entries = [(task: TaskID, call: TaskCall.Kind, answer: TaskAnswer?)]

  /// Makes a call and notes what it did; what certainly did nothing is not noted.
  /// - Parameter entries: of the answer; nil is none.
  /// - Returns: false where there was no answer.
  @discardableResult
  private func call<Answer>(
    _ body: (StoreCalls) async throws(StoreError) -> Answer, _ entries: (Answer?) -> Entries
  ) async throws -> Bool {
    let begun = run.recorder.moment()
    do throws(StoreError) {
      let answer = try await body(calls)
      let (ended, now) = (run.recorder.moment(), run.time.now)
      run.recorder.note(name, from: begun, to: ended, latest: now, entries(answer))
      return true
    } catch {
      switch error {
      case .unknownOutcome: break
      case .unavailable:
        // Half of the time it is taken for one of which nobody knows: an unknown outcome need not be a lost answer.
        guard begun.isMultiple(of: 2) else { return true }
      case .unusable: throw error
      }
      run.recorder.note(name, from: begun, to: nil, latest: run.time.now, entries(nil))
      return false
    }
  }

  // MARK: Drawing

  private mutating func task() -> TaskID { run.tasks[below(run.tasks.count)] }

  /// Mostly the latest, which somebody else may have too; sometimes an old one, or one that never was.
  private mutating func lease() -> LeaseID? {
    let known = run.board.leases(below(4) == 0 ? 20 : 4)
    guard var lease = known.randomElement(using: &random) else { return nil }
    if below(20) == 0 { lease.token += 1 }
    return lease
  }

  private mutating func outcome() -> Outcome {
    // Few successes: nothing happens to a task after one.
    switch below(14) {
    case 0: .success(result: Array("\"\(mark())\"".utf8))
    case 1: .success
    case 2...5: .failed
    case 6: .failed(.stub, .giveUp(.nonRetryable))
    case 7, 8: .timedOut
    case 9: .cancelled
    case 10, 11: .snoozed(.seconds(1))
    default: .released
    }
  }

  private mutating func patch() -> Steering.Action {
    .patch(
      TaskPatch(
        priority: below(2) == 0 ? nil : 1 + below(9), available: [nil, nil, .now, .after(.seconds(2))][below(4)],
        tags: [mark()]))
  }

  /// Different for all that is written, so that it is known again.
  private mutating func mark() -> String {
    count += 1
    return "\(name).\(count)"
  }

  private mutating func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
}
