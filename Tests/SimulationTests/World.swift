// One seed's world: nodes that crash and pause over links that lie, a client that submits and steers, and a judge that knows
// what was acknowledged and what the handlers really did.

import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization

final class World: Sendable {
  let scheduler: Scheduler
  let random: RandomSource
  let store: MemoryStore
  let wire: HintWire?
  /// Stands beside the store in some worlds, and is not to be relied on.
  let beside: MemoryAccelerator?
  let clock: ProcessClock
  let counters: Counters
  let judge: Judge
  let plan: Plan
  let sabotage: Sabotage?
  private let ledger = SinkLedger()
  private let isHealed = Atomic(false)
  private let nodes = Mutex<[SimulatedNode]>([])
  private let nextProcess = Mutex(1)

  /// What this seed tries: not every seed does everything, so that each fault also meets quiet surroundings.
  struct Plan: Sendable {
    var nodes: Int
    var tasks: Int
    var crashes: Bool
    var pauses: Bool
    var faults: LinkFaults
    var steering: Bool
    var poison: Bool
    /// There is a sink, and how often it fails.
    var sink: Double?
  }

  /// Bugs put in on purpose, which the judge must find.
  enum Sabotage: Sendable {
    /// Acknowledges without storing.
    case forgets
    /// Rescues leases that have not ended.
    case rescuesEarly
    /// Takes any report for a task that runs.
    case dropsFence
    /// Takes what a sink was told for what it has.
    case settlesUndelivered
  }

  init(seed: UInt64, scheduler: Scheduler, counters: Counters, sabotage: Sabotage? = nil) {
    self.scheduler = scheduler
    self.sabotage = sabotage
    random = RandomSource(seed: seed ^ 0x6D61_7274_6C65_7421)
    self.counters = counters
    clock = ProcessClock(scheduler: scheduler)
    let start: Int64 = 1_800_000_000_000
    // Half of the worlds have a store that takes many calls at once, half a wire between their nodes.
    store = MemoryStore(
      preferredConcurrency: seed % 2 == 0 ? 4 : 1,
      clock: { Timestamp(milliseconds: start + scheduler.now / 1_000_000) })
    wire =
      seed % 4 < 2
      ? nil : HintWire(scheduler: scheduler, random: RandomSource(seed: seed), counters: counters, loss: 0.3)
    beside = seed % 5 < 2 ? MemoryAccelerator(clock: clock) : nil
    var faults = LinkFaults()
    faults.longestLatency = [.zero, .milliseconds(2), .milliseconds(40)][random.below(3)]
    if random.below(2) == 0 { faults.failsBefore = 0.05 }
    if random.below(2) == 0 { faults.losesAnswer = 0.05 }
    if random.below(2) == 0 { faults.duplicates = 0.05 }
    plan = Plan(
      nodes: 1 + random.below(3), tasks: 10 + random.below(30), crashes: random.below(2) == 0,
      pauses: random.below(2) == 0, faults: faults, steering: random.below(2) == 0, poison: random.below(4) == 0,
      sink: [nil, 0, 0.2][Int(seed % 3)])
    judge = Judge(scheduler: scheduler, counters: counters)
  }

  /// Trouble for a minute, then peace until everything is at rest.
  func live() async throws {
    if plan.sink != nil { try await store.attend(to: ["kafka"]) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<plan.nodes { try await startNode(in: &group) }
      try await withThrowingTaskGroup(of: Void.self) { clients in
        clients.addTask { try await self.submitAll() }
        if plan.steering { clients.addTask { try await self.steer() } }
        try await makeTrouble(until: .seconds(60), in: &group)
        try await clients.waitForAll()
      }
      try await heal(in: &group)
      try await waitForRest(in: &group)
      for node in nodes.withLock(\.self) { node.engine.drain() }
      try await group.waitForAll()
    }
    try judge.verdict(on: await snapshot())
    if plan.sink != nil { try checkLedger(try await snapshot()) }
  }

  // MARK: Nodes

  private func startNode(in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
    let process = nextProcess.withLock { next in
      defer { next += 1 }
      return next
    }
    let judge = judge
    let store: any TaskStore = sabotage.map { SabotagedStore(self.store, $0) } ?? self.store
    var options = SimulatedNode.Options()
    options.wire = wire
    options.accelerators = beside?.accelerators
    if let failing = plan.sink {
      options.sinks = { [self] identity in
        [
          SimulatedSink(
            "kafka", ledger: ledger, clock: identity.clock, random: RandomSource(seed: random.next()),
            mood: { [self] in isHealed.load(ordering: .relaxed) ? .fine : .flaky(failing) },
            isDead: { [judge] in judge.isDead(identity.process) })
        ]
      }
    }
    let node = try SimulatedNode(
      process: process, scheduler: scheduler, store: store, random: RandomSource(seed: random.next()),
      counters: counters,
      handlers: { identity in [ScriptedHandler(identity: identity, judge: judge)] }, options: options)
    node.link.faults = plan.faults
    judge.add(node)
    nodes.withLock { $0.append(node) }
    group.addTask { await node.run() }
  }

  private func makeTrouble(
    until end: Duration, in group: inout ThrowingTaskGroup<Void, any Error>
  ) async throws {
    let end = clock.now + end
    while clock.now < end {
      try await clock.sleep(for: .milliseconds(random.below(8000)))
      let alive = nodes.withLock { $0.filter { !$0.isCrashed } }
      guard let victim = alive.isEmpty ? nil : alive[random.below(alive.count)] else { continue }
      switch random.below(3) {
      case 0 where plan.crashes:
        counters.count("crash")
        victim.resume()
        victim.crash()
        nodes.withLock { $0.removeAll { $0 === victim } }
        try await clock.sleep(for: .milliseconds(random.below(5000)))
        try await startNode(in: &group)
      case 1 where plan.pauses:
        counters.count("pause")
        victim.pause()
        try await clock.sleep(for: .milliseconds(random.below(6000)))
        victim.resume()
      default:
        break
      }
      if let beside { upset(beside) }
      try await replaceTheDead(in: &group)
    }
  }

  private func upset(_ beside: MemoryAccelerator) {
    beside.faults = MemoryAccelerator.Faults(
      isAway: random.below(4) == 0, isFull: random.below(4) == 0, givesTwice: random.below(4) == 0)
    if random.below(2) == 0 {
      counters.count("what stands beside forgot")
      beside.forgetAll()
    }
  }

  /// A handler may have killed its node.
  private func replaceTheDead(in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
    let dead = nodes.withLock { nodes in
      defer { nodes.removeAll(where: \.isCrashed) }
      return nodes.filter(\.isCrashed).count
    }
    for _ in 0..<dead { try await startNode(in: &group) }
  }

  private func heal(in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
    try await replaceTheDead(in: &group)
    for node in nodes.withLock(\.self) {
      node.resume()
      node.link.faults = LinkFaults()
    }
    beside?.faults = MemoryAccelerator.Faults()
    judge.healed()
    isHealed.store(true, ordering: .relaxed)
  }

  private func waitForRest(in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
    let end = clock.now + .seconds(3600)
    while true {
      let left = try await store.counts().filter { !$0.status.isFinal }
      let untold = try await store.sinks().reduce(0) { $0 + $1.waiting }
      if left.isEmpty, untold == 0 { return }
      guard clock.now < end else { throw Violation("not at rest an hour after healing: \(try await describe(left))") }
      try await clock.sleep(for: .seconds(1))
      try await replaceTheDead(in: &group)
    }
  }

  /// Everything was told, and each task's history in its order.
  private func checkLedger(_ tasks: [StoredTask]) throws {
    for task in tasks {
      let told = ledger.firsts(of: task.record.id)
      guard told.map(\.sequence) == task.events.map(\.sequence), told.map(\.type) == task.events.map(\.type) else {
        throw Violation("\(task.record.id): told \(told.map(\.sequence)) of \(task.events.map(\.sequence))")
      }
      counters.count("history told")
    }
    let all = ledger.all.events
    if Set(all.map(\.id)).count < all.count { counters.count("event delivered twice") }
  }

  private func describe(_ left: [TaskCount]) async throws -> String {
    let stuck = try await snapshot().filter { !$0.record.status.isFinal }
    let nodes = nodes.withLock { $0.map { "node \($0.process): \($0.engine.busy) busy" } }
    return "\(left.map { "\($0.count) \($0.status.rawValue)" }); \(nodes); \(stuck.prefix(3))"
  }

  // MARK: Clients

  private func submitAll() async throws {
    for index in 0..<plan.tasks {
      try await clock.sleep(for: .milliseconds(random.below(1500)))
      let script = Script.random(random, allowsPoison: plan.poison)
      var task = NewTask(type: ScriptedHandler.type, payload: script.json)
      task.retries = random.below(4)
      task.leaseSeconds = Double(1 + random.below(3))
      task.timeoutSeconds = Double(2 + random.below(8))
      task.backoff = NewTask.Backoff()
      task.backoff?.baseSeconds = 0.2
      task.priority = 1 + random.below(9)
      if index % 5 == 0 { task.delaySeconds = Double(random.below(10)) }
      if index % 7 == 0 {
        task.expiresAt = Timestamp(milliseconds: 1_800_000_000_000 + Int64(random.below(60_000)) + 1)
      }
      guard let node = anyNode() else { continue }
      do throws(ServiceError) {
        let record = try await node.engine.service.submit([task])[0]
        judge.acknowledged(record.id)
      } catch {
        judge.refused(error)
      }
    }
  }

  private func steer() async throws {
    for _ in 0..<20 {
      try await clock.sleep(for: .milliseconds(random.below(5000)))
      guard let node = anyNode(), let id = judge.anyAcknowledged(random) else { continue }
      do throws(ServiceError) {
        switch random.below(3) {
        case 0: _ = try await node.engine.service.cancel(id)
        case 1: _ = try await node.engine.service.retry(id)
        default:
          _ = try await node.engine.service.patch(id, with: TaskPatch(priority: 9, available: .now))
        }
        counters.count("steered")
      } catch {}  // refused by the state or lost: both are as they should be
    }
  }

  private func anyNode() -> SimulatedNode? {
    nodes.withLock { nodes in
      let alive = nodes.filter { !$0.isCrashed }
      return alive.isEmpty ? nil : alive[random.below(alive.count)]
    }
  }

  private func snapshot() async throws -> [StoredTask] {
    var query = TaskQuery()
    query.limit = 1000
    var stored: [StoredTask] = []
    for record in try await store.list(query).tasks {
      stored.append(
        StoredTask(
          record: record, attempts: try await store.attempts(of: record.id) ?? [],
          events: try await store.events(of: record.id) ?? []))
    }
    return stored
  }
}

struct StoredTask: Sendable {
  var record: TaskRecord
  var attempts: [AttemptRecord]
  var events: [TaskEvent]
}

struct Violation: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
