// A worker elsewhere: the engine's own worker in a process of its own, over a network to whichever node answers. Requests and answers
// get lost, come twice and come late.

internal import Logging
internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Synchronization

final class RemoteProcess: SimulatedProcess {
  let process: Int
  private let scheduler: Scheduler
  private let executor: ProcessExecutor
  private let broker: ClaimBroker
  private let worker: Worker
  private let network: RemoteNetwork
  private let stopped = Alarm()
  private let state = Mutex(State())

  private struct State {
    var isCrashed = false
    var isPaused = false
    var changedAt: Int64?
  }

  /// - Parameter nodes: those that it can reach now.
  init(
    process: Int, scheduler: Scheduler, drift: Int64, random: RandomSource, counters: Counters, judge: Judge,
    nodes: @escaping @Sendable () -> [SimulatedNode]
  ) throws {
    self.process = process
    self.scheduler = scheduler
    executor = ProcessExecutor(scheduler: scheduler, process: process)
    let clock = ProcessClock(scheduler: scheduler, origin: .seconds(1000 * process), drift: drift)
    let identity = SimulatedNode.Identity(process: process, clock: clock)
    network = RemoteNetwork(nodes: nodes, clock: clock, random: random, counters: counters)
    let logger = Logger(label: "simulation") { _ in SwiftLogNoOpLogHandler() }
    broker = ClaimBroker(source: network, clock: clock, random: random, logger: logger, pollInterval: .zero)
    var settings = Worker.Settings(
      id: "remote-\(process)", queues: ["*"], concurrency: 3, grace: .seconds(5), isLocal: false)
    settings.patience = .seconds(5)
    worker = Worker(
      settings, source: network, reportLanes: 2, broker: broker,
      registry: try HandlerRegistry([ScriptedHandler(identity: identity, judge: judge)]), executor: executor,
      clock: clock,
      random: random, observer: WorkObserver(), logger: logger)
  }

  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask(executorPreference: executor) { [broker, worker] in
        await withTaskGroup(of: Void.self) { group in
          group.addTask { await broker.run() }
          await worker.run()
          group.cancelAll()
        }
      }
      group.addTask { [stopped] in await stopped.wait() }
      await group.next()
      group.cancelAll()
    }
  }

  var faults: LinkFaults {
    get { network.faults }
    set { network.faults = newValue }
  }

  func drain() {
    broker.close()
    worker.drain()
  }

  func crash() {
    state.withLock { $0.isCrashed = true }
    network.cut()
    stopped.ring()
  }

  func pause() {
    state.withLock { state in
      state.isPaused = true
      state.changedAt = scheduler.now
    }
    scheduler.pause(process)
  }

  func resume() {
    state.withLock { state in
      guard state.isPaused else { return }
      state.isPaused = false
      state.changedAt = scheduler.now
    }
    scheduler.resume(process)
  }

  var isCrashed: Bool { state.withLock { $0.isCrashed } }

  var isBehind: Bool { state.withLock { $0.isPaused || $0.changedAt == scheduler.now } }
}

/// The lease protocol over a network that lies.
private final class RemoteNetwork: WorkSource {
  private let nodes: @Sendable () -> [SimulatedNode]
  private let clock: any EngineClock
  private let random: RandomSource
  private let counters: Counters
  private let state = Mutex((faults: LinkFaults(), isCut: false))

  init(
    nodes: @escaping @Sendable () -> [SimulatedNode], clock: any EngineClock, random: RandomSource, counters: Counters
  ) {
    self.nodes = nodes
    self.clock = clock
    self.random = random
    self.counters = counters
  }

  var faults: LinkFaults {
    get { state.withLock { $0.faults } }
    set { state.withLock { $0.faults = newValue } }
  }

  func cut() { state.withLock { $0.isCut = true } }

  private func call<Value>(
    isRepeatable: Bool, _ request: (LeaseService) async throws(ServiceError) -> Value
  ) async throws(StoreError) -> Value {
    try await travel()
    let faults = faults
    let reachable = nodes()
    guard !reachable.isEmpty, random.fraction() >= faults.failsBefore else {
      do { try await clock.sleep(for: .milliseconds(200)) } catch {}  // cancelled: it fails at once
      throw .unavailable("simulated: no server")
    }
    let node = reachable[random.below(reachable.count)]
    do throws(ServiceError) {
      var value = try await request(node.engine.leases)
      if isRepeatable, random.fraction() < faults.duplicates {
        counters.count("lease request delivered twice")
        value = try await request(node.engine.leases)
      }
      if node.isCrashed || random.fraction() < faults.losesAnswer {
        counters.count("answer of a node lost")
        throw ServiceError.store(.unknownOutcome("simulated: answer lost"), tasks: [])
      }
      counters.count("lease request")
      try await travel(throwing: ())
      return value
    } catch {
      if case .store(let error, _) = error { throw error }
      throw .unavailable("\(error)")
    }
  }

  private func travel(throwing: Void) async throws(ServiceError) {
    do throws(StoreError) { try await travel() } catch { throw .store(error, tasks: []) }
  }

  private func travel() async throws(StoreError) {
    let longest = faults.longestLatency
    if longest > .zero {
      do { try await clock.sleep(for: longest * random.fraction()) } catch {}  // cancelled: it goes on at once
    }
    if state.withLock({ $0.isCut }) { throw .unavailable("simulated: crashed") }
  }

  func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    var answers: [[ClaimedTask]] = []
    for request in requests {
      var lease = LeaseRequest(worker: request.worker, host: "elsewhere", types: request.types)
      (lease.limit, lease.ahead, lease.patience) = (request.limit, request.ahead, request.patience)
      let asked = lease
      answers.append(
        try await call(isRepeatable: false) { (leases) throws(ServiceError) in
          let grant = try await leases.lease(asked)
          return grant.tasks.map { task in
            var task = task
            task.heldFor = grant.held
            task.expiresIn = task.expiresIn - grant.age
            return task
          }
        })
    }
    return answers
  }

  func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    try await call(isRepeatable: true) { (leases) throws(ServiceError) in
      try await leases.renew(renewals.map { LeaseRenewal(lease: $0.lease, progress: $0.progress, logs: $0.logs) })
    }
  }

  func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    try await call(isRepeatable: true) { (leases) throws(ServiceError) in
      try await leases.finish(finishes.map { LeaseReport(lease: $0.lease, outcome: $0.outcome, logs: $0.logs) })
    }
  }
}
