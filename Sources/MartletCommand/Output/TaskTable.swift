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
    table.columns += [.init("OLDEST READY", isNumber: true), .init("PER SECOND", isNumber: true)]
    table.rows = queues.map { queue in
      var row = [Table.Cell(queue.name)] + counts(queue.depth)
      row.append(.init(queue.oldestReadySeconds.map(Format.seconds) ?? "-"))
      row.append(.init(queue.throughputPerSecond.map { Format.number($0) } ?? "-"))
      return row
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
