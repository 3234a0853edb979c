// Tasks, queues, workers and counts as tables. Pure.

internal import MartletClient

enum TaskTable {
  static func tasks(_ tasks: [RemoteTask], for terminal: Terminal) -> String {
    var table = Table(columns: [
      .init("ID"), .init("TYPE", shrinks: true), .init("QUEUE", shrinks: true), .init("STATUS"),
      .init("ATTEMPT", isNumber: true), .init("PRIORITY", isNumber: true), .init("CREATED"),
      .init("LAST ERROR", shrinks: true),
    ])
    table.rows = tasks.map { task in
      [
        .init(task.id.description), .init(task.type), .init(task.queue), status(task.status),
        .init("\(task.attempt)/\(task.maxAttempts)"), .init(String(task.priority)), .init(task.createdAt.description),
        .init(task.lastError.map { "\($0.type): \($0.message)" }),
      ]
    }
    return table.rendered(for: terminal)
  }

  static func queues(_ queues: [QueueState], for terminal: Terminal) -> String {
    var table = Table(columns: [.init("QUEUE", shrinks: true)])
    table.columns += TaskStatus.allCases.map { .init($0.rawValue, isNumber: true) }
    table.columns += [.init("OLDEST READY", isNumber: true), .init("PER SECOND", isNumber: true), .init("")]
    table.rows = queues.map { queue in
      var row = [Table.Cell(queue.name)] + counts(queue.depth)
      row.append(.init(queue.oldestReadySeconds.map(Format.seconds) ?? "-"))
      row.append(.init(queue.throughputPerSecond.map { Format.number($0) } ?? "-"))
      row.append(.init(queue.paused ? "paused" : ""))
      return row
    }
    return table.rendered(for: terminal)
  }

  static func types(_ types: [TypeState], for terminal: Terminal) -> String {
    var table = Table(columns: [.init("TYPE", shrinks: true)])
    table.columns += TaskStatus.allCases.map { .init($0.rawValue, isNumber: true) }
    table.columns += [.init("WORKERS", isNumber: true), .init("")]
    table.rows = types.map { type in
      [Table.Cell(type.name)] + counts(type.counts) + [
        .init(String(type.workers.count)), .init(type.rules.paused ? "paused" : ""),
      ]
    }
    return table.rendered(for: terminal)
  }

  /// Tasks are named by their `ref` where they have one.
  static func graph(_ graph: RemoteGraph, for terminal: Terminal) -> String {
    let names = Dictionary(graph.tasks.map { ($0.id, $0.ref ?? $0.id.description) }) { first, _ in first }
    let parents = Dictionary(grouping: graph.edges, by: \.to).mapValues { $0.map(\.from) }
    var table = Table(columns: [
      .init("ID"), .init("REF", shrinks: true), .init("TYPE", shrinks: true), .init("STATUS"),
      .init("WAITS FOR", shrinks: true),
    ])
    table.rows = graph.tasks.map { task in
      let waitsFor = (parents[task.id] ?? []).map { names[$0] ?? $0.description }
      return [
        .init(task.id.description), .init(task.ref ?? ""), .init(task.type), status(task.status),
        .init(waitsFor.joined(separator: ", ")),
      ]
    }
    return table.rendered(for: terminal)
  }

  static func workers(_ workers: [WorkerState], for terminal: Terminal) -> String {
    var table = Table(columns: [
      .init("ID", shrinks: true), .init("HOST", shrinks: true), .init("KIND"), .init("RUNNING", isNumber: true),
      .init("LAST SEEN"), .init("QUEUES", shrinks: true), .init("TYPES", shrinks: true),
    ])
    table.rows = workers.map { worker in
      [
        .init(worker.id), .init(worker.host), .init(worker.kind), .init(String(worker.running)),
        .init(worker.lastSeenAt.description), .init(worker.queues.joined(separator: ",")),
        .init(worker.types.joined(separator: ",")),
      ]
    }
    return table.rendered(for: terminal)
  }

  static func statistics(_ statistics: ServerStatistics, for terminal: Terminal) -> String {
    var table = Table(columns: [.init("TYPE", shrinks: true)])
    table.columns += TaskStatus.allCases.map { .init($0.rawValue, isNumber: true) }
    table.rows = statistics.byType.sorted { $0.key < $1.key }.map { [Table.Cell($0.key)] + counts($0.value) }
    table.rows.append([.init("all", .bold)] + counts(statistics.byStatus))
    var lines = [table.rendered(for: terminal), ""]
    lines.append("counted at  \(statistics.countedAt)")
    if let rate = statistics.submittedPerSecond { lines.append("submitted   \(Format.number(rate)) per second") }
    if let rate = statistics.finishedPerSecond { lines.append("finished    \(Format.number(rate)) per second") }
    for (name, latency) in [("waited      ", statistics.wait), ("ran         ", statistics.run)] {
      guard let latency else { continue }
      lines.append("\(name)median \(Format.seconds(latency.p50)), 99 % within \(Format.seconds(latency.p99))")
    }
    return lines.joined(separator: "\n")
  }

  static func status(_ status: TaskStatus) -> Table.Cell {
    .init(status.rawValue, style(of: status))
  }

  static func style(of status: TaskStatus) -> Terminal.Style? {
    switch status {
    case .success: .good
    case .dead: .bad
    case .running: .busy
    case .retry: .waiting
    case .cancelled: .faint
    case .pending, .ready: nil
    }
  }

  private static func counts(_ counts: [TaskStatus: Int]) -> [Table.Cell] {
    TaskStatus.allCases.map { status in
      let count = counts[status] ?? 0
      return .init(String(count), count == 0 ? .faint : style(of: status))
    }
  }
}
