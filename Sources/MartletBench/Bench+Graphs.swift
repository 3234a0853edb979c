// What dependencies cost: graphs drained beside as many tasks that wait for nobody, over one engine in this process.

internal import MartletCore
internal import MartletEngine

extension Bench {
  func graphs(_ results: inout Results) async throws {
    let total = max(1000, options.drainTasks / 10)
    let plain = try await drained(total) { try noOps(total, priorities: 5...5) }
    results.add(.graphs, "\(total) that wait for nobody", plain, "tasks/s")
    for (name, tasks) in [
      ("\(total) in layers of 1,000, each after two", layers(total)),
      ("1,000 before one", fanIn(1000)),
      ("one before \(total)", fanOut(total)),
      ("a chain of 200", chain(200)),
    ] as [(String, @Sendable () throws -> [AcceptedTask])] {
      let rate = try await drained(try tasks().count, tasks)
      results.add(.graphs, name, rate, "tasks/s")
      results.add(.graphs, name + ", of plain ones", rate / plain, "ratio")
    }
  }

  /// Tasks per second from the worker's start to the end of all.
  private func drained(_ count: Int, _ tasks: @Sendable () throws -> [AcceptedTask]) async throws -> Double {
    let tasks = try tasks()
    return try await withStore { store, _ in
      for start in stride(from: 0, to: tasks.count, by: 1000) {
        _ = try await store.submit([Submission(Array(tasks[start..<min(start + 1000, tasks.count)]))])
      }
      return try await drained(count, of: store)
    }
  }

  /// The same for what is stored already.
  func drained(_ count: Int, of store: any TaskStore) async throws -> Double {
    let begin = ContinuousClock.now
    let meter = Meter()
    return try await withEngine(store, handlers: [NoOp(meter: meter)]) { _ in
      try await Course(of: count, in: store, since: begin) { meter.ran }
    }.rate
  }

  private func layers(_ total: Int) -> @Sendable () throws -> [AcceptedTask] {
    {
      var tasks = try noOps(total, priorities: 5...5)
      for index in tasks.indices.dropFirst(1000) {
        let above = index - 1000
        tasks[index].dependencies = [tasks[above].id, tasks[above - above % 1000 + (above + 1) % 1000].id]
      }
      return tasks
    }
  }

  private func fanIn(_ count: Int) -> @Sendable () throws -> [AcceptedTask] {
    {
      var tasks = try noOps(count + 1, priorities: 5...5)
      tasks[count].dependencies = tasks.dropLast().map(\.id)
      return tasks
    }
  }

  private func fanOut(_ count: Int) -> @Sendable () throws -> [AcceptedTask] {
    {
      var tasks = try noOps(count + 1, priorities: 5...5)
      for index in tasks.indices.dropFirst() { tasks[index].dependencies = [tasks[0].id] }
      return tasks
    }
  }

  private func chain(_ count: Int) -> @Sendable () throws -> [AcceptedTask] {
    {
      var tasks = try noOps(count, priorities: 5...5)
      for index in tasks.indices.dropFirst() { tasks[index].dependencies = [tasks[index - 1].id] }
      return tasks
    }
  }
}
