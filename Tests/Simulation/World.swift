// One seed's world: nodes and workers elsewhere that crash and pause over links that lie, clients that submit and steer, an auditor that
// sees every transaction, and a judge that knows what was acknowledged and what the handlers really did. Trouble for a while, then peace
// until everything is at rest.

internal import MartletCore
internal import MartletEngine
package import MartletTestKit
internal import Synchronization

package final class World: Sendable {
  let scheduler: Scheduler
  let random: RandomSource
  let store: MemoryStore
  let wire: HintWire?
  /// Stands beside the store in some worlds, and is not to be relied on.
  let beside: MemoryAccelerator?
  let post: LatePost
  let clock: ProcessClock
  let counters: Counters
  let judge: Judge
  let auditor: Auditor
  let chronicle: Chronicle
  let plan: Plan
  let sabotage: Sabotage?
  let ledger = SinkLedger()
  let mailbox = Mailbox()
  let isHealed = Atomic(false)
  let nodes = Mutex<[SimulatedNode]>([])
  let remotes = Mutex<[RemoteProcess]>([])
  private let nextProcess = Mutex(1)

  static let start = Timestamp(milliseconds: 1_800_000_000_000)
  static let sink = "kafka"
  /// Of each concurrency key.
  static let slots = 2

  package init(
    _ plan: Plan, scheduler: Scheduler, counters: Counters, chronicle: Chronicle, sabotage: Sabotage? = nil
  ) {
    self.scheduler = scheduler
    self.sabotage = sabotage
    self.plan = plan
    self.counters = counters
    self.chronicle = chronicle
    random = RandomSource(seed: plan.seed ^ 0x6D61_7274_6C65_7421)
    clock = ProcessClock(scheduler: scheduler)
    post = LatePost(scheduler: scheduler)
    auditor = Auditor(chronicle: chronicle, counters: counters, slots: Self.slots, retention: plan.retention)
    // Half of the worlds have a store that takes many calls at once.
    store = MemoryStore(preferredConcurrency: plan.seed % 2 == 0 ? 4 : 1, observer: auditor, sabotage: sabotage) {
      Timestamp(milliseconds: Self.start.milliseconds + scheduler.now / 1_000_000)
    }
    wire =
      plan.has(.wire)
      ? HintWire(scheduler: scheduler, random: RandomSource(seed: plan.seed), counters: counters, loss: 0.3) : nil
    beside = plan.has(.beside) ? MemoryAccelerator(clock: clock) : nil
    judge = Judge(scheduler: scheduler, counters: counters)
  }

  package func live() async throws {
    // What happens before a sink is first attended to is not told to it.
    let sinks = (plan.has(.sink) ? [Self.sink] : []) + (plan.has(.stream) ? [StreamPage.sink] : [])
    if !sinks.isEmpty { _ = try await store.attend(to: Set(sinks)) }
    if plan.has(.slots) {
      var patch = QueuePatch()
      patch.concurrencyPerKey = .value(Self.slots)
      _ = try await store.change(queue: "default", patch, actor: "world")
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await self.post.run() }
      for index in 0..<plan.count { try startNode(in: &group, isOld: index == 0 && plan.has(.oldNode)) }
      if plan.has(.remoteWorkers) { for _ in 0..<2 { try startRemote(in: &group) } }
      try await withThrowingTaskGroup(of: Void.self) { clients in
        clients.addTask { try await self.submitAll() }
        if plan.has(.steering) { clients.addTask { try await self.steer() } }
        if plan.has(.bulk) { clients.addTask { try await self.actInBulk() } }
        if plan.has(.schedules) { clients.addTask { try await self.schedule() } }
        try await makeTrouble(in: &group)
        try await clients.waitForAll()
      }
      note("peace")
      try heal(in: &group)
      if plan.has(.schedules) { try await deleteSchedules() }
      try await waitForRest(in: &group)
      try await letTheHeldGo(in: &group)
      if plan.has(.retention) { try await waitForOblivion() }
      for remote in remotes.withLock(\.self) { remote.drain() }
      for node in nodes.withLock(\.self) { node.engine.drain() }
      group.cancelAll()
      try await group.waitForAll()
    }
    try judge.verdict(on: auditor)
    if let violation = auditor.violation { throw violation }
    try await checkAudit()
    if plan.has(.sink) { try checkLedger() }
    if plan.has(.notices) { try checkMailbox() }
    if plan.has(.stream) { try await checkStream() }
  }

  /// Whatever is wrong by now.
  func check() throws {
    if let violation = auditor.violation ?? judge.violation { throw violation }
  }

  func note(_ text: String) {
    chronicle.write(text, at: Timestamp(milliseconds: Self.start.milliseconds + scheduler.now / 1_000_000))
  }

  // MARK: Processes

  private func newProcess() -> Int {
    nextProcess.withLock { next in
      defer { next += 1 }
      return next
    }
  }

  /// Millionths by which a clock is wrong: as much as a bad crystal is.
  private func drift() -> Int64 { plan.has(.drift) ? Int64(random.below(401)) - 200 : 0 }

  func startNode(in group: inout ThrowingTaskGroup<Void, any Error>, isOld: Bool = false) throws {
    let process = newProcess()
    let judge = judge
    var options = SimulatedNode.Options()
    // One of the release before hears and tells nothing of what this one has added, and has none of its new roles.
    options.wire = isOld ? nil : wire
    options.post = post
    options.drift = drift()
    options.sabotage = sabotage
    options.retention = plan.retention
    options.concurrency = 1 + random.below(4)
    if !isOld { addRoles(to: &options) }
    let node = try SimulatedNode(
      process: process, scheduler: scheduler, store: store, random: RandomSource(seed: random.next()),
      counters: counters, handlers: { identity in [ScriptedHandler(identity: identity, judge: judge)] },
      options: options)
    node.link.faults = isHealed.load(ordering: .relaxed) ? LinkFaults() : plan.faults
    judge.add(node)
    nodes.withLock { $0.append(node) }
    note("node \(process) starts\(isOld ? ", of the release before" : "")")
    group.addTask { await node.run() }
  }

  private func addRoles(to options: inout SimulatedNode.Options) {
    options.accelerators = beside?.accelerators
    if plan.has(.stream) { options.streamKept = .seconds(86_400) }
    if plan.has(.notices) {
      options.noticeSender = { [self] identity in
        SimulatedPost(
          mailbox: mailbox, identity: identity, judge: judge, random: RandomSource(seed: random.next()),
          isReliable: { [self] in isHealed.load(ordering: .relaxed) })
      }
    }
    guard plan.has(.sink) else { return }
    let failing = plan.has(.flakySink) ? 0.2 : 0.0
    options.sinks = { [self] identity in
      [
        SimulatedSink(
          Self.sink, ledger: ledger, clock: identity.clock, random: RandomSource(seed: random.next()),
          mood: { [self] in isHealed.load(ordering: .relaxed) ? .fine : .flaky(failing) },
          isDead: { [judge] in judge.isDead(identity.process) })
      ]
    }
  }

  func startRemote(in group: inout ThrowingTaskGroup<Void, any Error>) throws {
    let process = newProcess()
    let remote = try RemoteProcess(
      process: process, scheduler: scheduler, drift: drift(), random: RandomSource(seed: random.next()),
      counters: counters, judge: judge, nodes: { [self] in nodes.withLock { $0.filter { !$0.isCrashed } } })
    remote.faults = isHealed.load(ordering: .relaxed) ? LinkFaults() : plan.faults
    judge.add(remote)
    remotes.withLock { $0.append(remote) }
    note("worker \(process) elsewhere starts")
    group.addTask { await remote.run() }
  }

  func anyNode() -> SimulatedNode? {
    nodes.withLock { nodes in
      let alive = nodes.filter { !$0.isCrashed }
      return alive.isEmpty ? nil : alive[random.below(alive.count)]
    }
  }
}
