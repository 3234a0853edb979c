// What befalls a world, and how it comes to rest afterwards.

internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Synchronization

extension World {
  func makeTrouble(in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
    let end = clock.now + plan.trouble
    while clock.now < end {
      try await clock.sleep(for: .milliseconds(random.below(6000)))
      try check()
      switch random.below(7) {
      case 0 where plan.has(.crashes): try await crashOne(in: &group)
      case 1 where plan.has(.pauses): try await pauseOne()
      case 2 where plan.has(.restarts): try await restartOne(in: &group)
      case 3 where plan.has(.reloads): reloadOne()
      case 4 where plan.has(.remoteWorkers) && plan.has(.crashes): try await crashOneElsewhere(in: &group)
      case 5 where plan.has(.remoteWorkers) && plan.has(.pauses): try await pauseOneElsewhere()
      case 6 where plan.has(.outages): try await cutOneOff()
      default: break
      }
      if let beside { upset(beside) }
      try replaceTheDead(in: &group)
    }
  }

  private func crashOne(in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
    guard let victim = anyNode() else { return }
    counters.count("crash")
    note("node \(victim.process) crashes")
    victim.resume()
    victim.crash()
    nodes.withLock { $0.removeAll { $0 === victim } }
    try await clock.sleep(for: .milliseconds(random.below(5000)))
    try startNode(in: &group)
  }

  private func pauseOne() async throws {
    guard let victim = anyNode() else { return }
    counters.count("pause")
    note("node \(victim.process) stands still")
    victim.pause()
    try await clock.sleep(for: .milliseconds(random.below(6000)))
    victim.resume()
    note("node \(victim.process) goes on")
  }

  /// As SIGTERM: it drains, and another takes its place.
  private func restartOne(in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
    guard let victim = anyNode() else { return }
    counters.count("restart")
    note("node \(victim.process) drains")
    nodes.withLock { $0.removeAll { $0 === victim } }
    victim.engine.drain()
    try startNode(in: &group)
  }

  /// From the store: every call fails, for longer than leases are.
  private func cutOneOff() async throws {
    guard let victim = anyNode() else { return }
    counters.count("outage")
    note("node \(victim.process) is cut off from the store")
    victim.link.faults.failsBefore = 1
    try await clock.sleep(for: .milliseconds(1000 + random.below(9000)))
    victim.link.faults.failsBefore = plan.faults.failsBefore
    note("node \(victim.process) reaches the store again")
  }

  private func reloadOne() {
    guard let node = anyNode() else { return }
    counters.count("reload")
    var defaults = TaskDefaults()
    defaults.retries = random.below(6)
    let concurrency = 1 + random.below(6)
    note("node \(node.process) gets other settings: \(concurrency) slots")
    node.engine.tune(
      EngineTuning(
        defaults: defaults, retention: plan.retention, concurrency: concurrency,
        grace: .seconds(1 + random.below(5))))
  }

  private func anyRemote() -> RemoteProcess? {
    remotes.withLock { remotes in
      let alive = remotes.filter { !$0.isCrashed }
      return alive.isEmpty ? nil : alive[random.below(alive.count)]
    }
  }

  private func crashOneElsewhere(in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
    guard let victim = anyRemote() else { return }
    counters.count("crash elsewhere")
    note("worker \(victim.process) elsewhere crashes")
    victim.resume()
    victim.crash()
  }

  private func pauseOneElsewhere() async throws {
    guard let victim = anyRemote() else { return }
    counters.count("pause elsewhere")
    note("worker \(victim.process) elsewhere stands still")
    victim.pause()
    try await clock.sleep(for: .milliseconds(random.below(6000)))
    victim.resume()
    note("worker \(victim.process) elsewhere goes on")
  }

  private func upset(_ beside: MemoryAccelerator) {
    beside.faults = MemoryAccelerator.Faults(
      isAway: random.below(4) == 0, isFull: random.below(4) == 0, givesTwice: random.below(4) == 0)
    if random.below(2) == 0 {
      counters.count("what stands beside forgot")
      beside.forgetAll()
    }
  }

  /// A handler may have killed its process.
  func replaceTheDead(in group: inout ThrowingTaskGroup<Void, any Error>) throws {
    for _ in 0..<nodes.withLock({ Self.removeDead(from: &$0) }) { try startNode(in: &group) }
    for _ in 0..<remotes.withLock({ Self.removeDead(from: &$0) }) { try startRemote(in: &group) }
  }

  private static func removeDead<Process: SimulatedProcess>(from processes: inout [Process]) -> Int {
    let dead = processes.count(where: \.isCrashed)
    processes.removeAll(where: \.isCrashed)
    return dead
  }

  // MARK: Peace

  func heal(in group: inout ThrowingTaskGroup<Void, any Error>) throws {
    isHealed.store(true, ordering: .relaxed)
    try replaceTheDead(in: &group)
    for node in nodes.withLock(\.self) {
      node.resume()
      node.link.faults = LinkFaults()
    }
    for remote in remotes.withLock(\.self) {
      remote.resume()
      remote.faults = LinkFaults()
    }
    beside?.faults = MemoryAccelerator.Faults()
    judge.healed()
  }

  /// Nothing is left that could ever go on, and everybody has been told.
  func waitForRest(in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
    let end = clock.now + .seconds(3600)
    while true {
      try check()
      let left = unfinished()
      let untold = try await store.sinks().reduce(0) { $0 + $1.waiting } + store.waitingNotices().count
      let atWork = auditor.jobs.count { $0.status == .running }
      if left.isEmpty, untold == 0, atWork == 0 { return }
      guard clock.now < end else {
        let stuck = left.map { "…\($0.record.id.description.suffix(6)) \($0.record.status.rawValue)" }.sorted()
        throw Violation(
          left.isEmpty ? atWork > 0 ? "G20" : "G7" : "G2",
          "not at rest an hour after healing: \(stuck.prefix(5)), \(untold) untold, \(atWork) actions in bulk",
          tasks: left.map(\.record.id))
      }
      try await clock.sleep(for: .seconds(1))
      try replaceTheDead(in: &group)
    }
  }

  /// But for those that wait for dead ones.
  private func unfinished() -> [TaskImage] {
    let all = auditor.all
    return all.values.filter { !$0.record.status.isFinal && auditor.deletedAt($0.record.id) == nil && !isHeld($0, all) }
  }

  private func isHeld(_ task: TaskImage, _ all: [TaskID: TaskImage]) -> Bool {
    guard task.record.status == .pending else { return false }
    return task.unmet.contains { parent in
      guard let parent = all[parent] else { return false }
      let isFailed = parent.record.status == .dead || parent.record.status == .cancelled
      return isFailed && task.record.onDependencyFailure != .run || isHeld(parent, all)
    }
  }

  /// Dead ones that others wait for are retried, and succeed: then those go on, too.
  func letTheHeldGo(in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
    judge.haveMercy()
    for _ in 0..<20 {
      let all = auditor.all
      let held = all.values.filter { isHeld($0, all) && auditor.deletedAt($0.record.id) == nil }
      if held.isEmpty { return }
      counters.count("held by a dead one")
      let parents = Set(held.flatMap(\.unmet)).filter { [.dead, .cancelled].contains(all[$0]?.record.status) }
      for id in parents.sorted() {
        await command("retry", on: id) { (service) throws(ServiceError) in try await service.retry(id) }
      }
      try await waitForRest(in: &group)
    }
    throw Violation("G10", "some wait for dead ones, however often these are retried")
  }

  /// Whatever is past its time and needed by nobody goes.
  func waitForOblivion() async throws {
    let end = clock.now + .seconds(600)
    while !(try await store.counts().isEmpty) {
      try check()
      guard clock.now < end else {
        throw Violation(
          "G15", "retention has left \(try await store.counts().map { "\($0.count) \($0.status.rawValue)" })")
      }
      try await clock.sleep(for: .seconds(5))
    }
    counters.count("everything forgotten")
  }
}
