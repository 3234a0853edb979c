// What clients do in a world: they submit, in all the ways there are, say it again when they got no answer, and steer.

internal import MartletCore
internal import MartletEngine
internal import MartletTestKit

extension World {
  func submitAll() async throws {
    for number in 0..<plan.tasks {
      try await clock.sleep(for: .milliseconds(random.below(1500)))
      if plan.has(.badBatches), random.below(6) == 0 {
        await submit(number, badBatch(number), key: nil)
      } else if plan.has(.graphs), random.below(3) == 0 {
        await submit(number, graph(number), key: nil)
      } else if plan.has(.keys), random.below(3) == 0 {
        try await submitRepeatedly(number)
      } else {
        await submit(number, [task(number)], key: nil)
      }
    }
  }

  private func task(_ number: Int) -> NewTask {
    let script = Script.random(random, allowsPoison: plan.has(.poison))
    var task = NewTask(type: ScriptedHandler.type, payload: script.json)
    task.metadata[Judge.mark] = String(number)
    task.retries = random.below(4)
    task.leaseSeconds = Double(1 + random.below(3))
    task.timeoutSeconds = Double(2 + random.below(8))
    task.backoff = NewTask.Backoff()
    task.backoff?.baseSeconds = 0.2
    task.priority = 1 + random.below(9)
    switch random.below(8) {
    case 0: task.delaySeconds = Double(random.below(10))
    case 1: task.expiresAt = Timestamp(milliseconds: Self.start.milliseconds + Int64(random.below(60_000)) + 1)
    default: break
    }
    if plan.has(.slots), random.below(2) == 0 { task.concurrencyKey = "key-\(random.below(2))" }
    if plan.has(.bulk), random.below(2) == 0 { task.tags = [Self.bulkTag] }
    if plan.has(.notices), random.below(2) == 0 {
      task.notify = [
        NoticeTarget(.webhook("https://receiver-\(random.below(3)).example/hook"), on: [.success, .dead, .cancelled])
      ]
    }
    return task
  }

  /// A fan of tasks out of one, and into another.
  private func graph(_ number: Int) -> [NewTask] {
    let width = 2 + random.below(3)
    var tasks = (0..<width + 2).map { _ in task(number) }
    for index in tasks.indices {
      tasks[index].expiresAt = nil
      tasks[index].ref = "t\(index)"
      tasks[index].onDependencyFailure = DependencyPolicy.allCases[random.below(3)]
      if (1...width).contains(index) { tasks[index].dependencies = ["t0"] }
    }
    tasks[width + 1].dependencies = (1...width).map { "t\($0)" }
    // Parents that end at once are what fan-in is hard for.
    if random.below(2) == 0 {
      for index in 1...width {
        tasks[index].payload = Script(kind: .succeeds, milliseconds: 50).json
        tasks[index].concurrencyKey = nil
      }
    }
    return tasks
  }

  /// Its second task waits for one that is nowhere.
  private func badBatch(_ number: Int) -> [NewTask] {
    var tasks = [task(number), task(number)]
    for index in tasks.indices { tasks[index].expiresAt = nil }
    tasks[1].dependencies = [
      TaskID(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0000 | random.next() >> 2).description
    ]
    return tasks
  }

  /// As a client without an answer does, to other nodes and at once, too.
  private func submitRepeatedly(_ number: Int) async throws {
    let task = task(number)
    let key = "key of \(number)".replacing(" ", with: "-")
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<2 + random.below(2) {
        let delay = Duration.milliseconds(random.below(2) == 0 ? 0 : random.below(3000))
        group.addTask {
          try await self.clock.sleep(for: delay)
          await self.submit(number, [task], key: key)
        }
      }
      try await group.waitForAll()
    }
  }

  private func submit(_ number: Int, _ tasks: [NewTask], key: String?) async {
    guard let node = anyNode() else { return }
    let tasks = tasks.enumerated().map { place, task in
      var task = task
      task.metadata[Judge.place] = String(place)
      task.idempotencyKey = key
      return task
    }
    judge.wanted(number, tasks, key: key)
    let items = tasks.map { SubmitRequest.Item($0, fingerprint: key.map { Array($0.utf8) } ?? []) }
    do throws(ServiceError) {
      let told = try await node.engine.service.submit(SubmitRequest(items, isBatch: items.count > 1))
      judge.acknowledged(number, told.map(\.record.id))
    } catch {
      judge.answered(number, error, isDead: node.isCrashed)
    }
  }

  // MARK: Steering

  static let patchedPriority = 9

  func steer() async throws {
    for _ in 0..<20 {
      try await clock.sleep(for: .milliseconds(random.below(4000)))
      guard let id = judge.anyAcknowledged(random) else { continue }
      switch random.below(3) {
      case 0: await command("cancel", on: id) { (service) throws(ServiceError) in try await service.cancel(id) }
      case 1: await command("retry", on: id) { (service) throws(ServiceError) in try await service.retry(id) }
      default:
        await command("patch", on: id) { (service) throws(ServiceError) in
          try await service.patch(id, with: TaskPatch(priority: Self.patchedPriority, available: .now))
        }
      }
      counters.count("steered")
    }
  }

  func command(
    _ kind: String, on id: TaskID, _ body: (TaskService) async throws(ServiceError) -> TaskRecord
  ) async {
    guard let node = anyNode() else { return }
    let result: Result<TaskRecord, ServiceError>
    do throws(ServiceError) {
      result = .success(try await body(node.engine.service))
    } catch {
      result = .failure(error)  // refused by the state or lost: both are as they should be
    }
    judge.commanded(id, kind, result, isDead: node.isCrashed)
  }

  // MARK: Schedules

  /// Two of them, which are changed and triggered.
  func schedule() async throws {
    for _ in 0..<6 {
      try await clock.sleep(for: .milliseconds(random.below(6000)))
      guard let node = anyNode() else { continue }
      let name = "schedule-\(random.below(2))"
      do throws(ServiceError) {
        if random.below(3) == 0 {
          _ = try await node.engine.schedules.trigger(name, by: .unguarded)
        } else {
          _ = try await node.engine.schedules.put(newSchedule(name), by: .unguarded)
        }
      } catch {}  // not there, or lost: it is tried again or not
    }
  }

  func deleteSchedules() async throws {
    for name in ["schedule-0", "schedule-1"] { try await delete(name) }
  }

  static let scheduledTask: NewTask = {
    var task = NewTask(type: ScriptedHandler.type, payload: Script(kind: .succeeds, milliseconds: 20).json)
    task.leaseSeconds = 2
    return task
  }()

  private func newSchedule(_ name: String) -> NewSchedule {
    var schedule = NewSchedule(name: name, task: Self.scheduledTask)
    schedule.everySeconds = Double(2 + random.below(4))
    schedule.overlap = random.below(2) == 0 ? .allow : .skip
    return schedule
  }

  private func delete(_ name: String) async throws {
    while true {
      do throws(ServiceError) {
        if let node = anyNode() { return try await node.engine.schedules.delete(name, by: .unguarded) }
      } catch {
        if case .notFound = error { return }
      }
      try await clock.sleep(for: .seconds(1))
    }
  }
}
