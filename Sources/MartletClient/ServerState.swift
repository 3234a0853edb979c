// Queues, workers, counts, version and health as a server shows them.

public import MartletCore

/// A queue's depth and pace.
public struct QueueState: Sendable, Hashable {
  public var name: String
  /// Tasks by status.
  public var depth: [TaskStatus: Int]
  /// How long the READY task that waits longest has waited, in seconds; nil when none is READY.
  public var oldestReadySeconds: Double?
  /// Attempts that ended within the last minute, per second.
  public var throughputPerSecond: Double?
  /// Nothing of it is given out.
  public var paused: Bool
  /// Its limits, nil for none; what they mean stands at `QueueChanges`.
  public var concurrency: Int?
  public var concurrencyPerKey: Int?
  public var ratePerSecond: Double?
  public var burst: Int?
  public var maxDepth: Int?
  /// Who is told how its tasks ended, where neither they nor their types say it.
  public var notify: [NoticeTarget]?
  /// The whole object as it came.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    try self.init(Reading.object(answer))
  }

  init(_ reader: ObjectReader) throws(MartletClientError) {
    name = try reader.required("name", reader.text("name"))
    depth = try reader.counts("depth")
    oldestReadySeconds = try reader.double("oldestReadySeconds")
    throughputPerSecond = try reader.double("throughputPerSecond")
    paused = try reader.bool("paused") ?? false
    concurrency = try reader.int("concurrency")
    concurrencyPerKey = try reader.int("concurrencyPerKey")
    ratePerSecond = try reader.double("ratePerSecond")
    burst = try reader.int("burst")
    maxDepth = try reader.int("maxDepth")
    notify = reader.raw("notify").flatMap { try? JSONScanner.scan($0) }.flatMap { [NoticeTarget](template: $0) }
    json = reader.slice.bytes
  }
}

/// A worker that carries out tasks.
public struct WorkerState: Sendable, Hashable, Identifiable {
  public var id: String
  public var host: String
  /// `node` inside a server, `remote` elsewhere.
  public var kind: String
  public var types: [String]
  public var queues: [String]
  /// Attempts it is at now.
  public var running: Int
  public var lastSeenAt: Timestamp

  init(_ reader: ObjectReader) throws(MartletClientError) {
    id = try reader.required("id", reader.text("id"))
    host = try reader.text("host") ?? ""
    kind = try reader.text("kind") ?? ""
    types = try reader.texts("types")
    queues = try reader.texts("queues")
    running = try reader.int("running") ?? 0
    lastSeenAt = try reader.required("lastSeenAt", reader.time("lastSeenAt"))
  }
}

/// Counts over all tasks, and the pace of the node that answered.
public struct ServerStatistics: Sendable, Hashable {
  /// The counts are as of this time, at most 5 s old.
  public var countedAt: Timestamp
  public var byStatus: [TaskStatus: Int]
  public var byType: [String: [TaskStatus: Int]]
  /// Over the last minute.
  public var submittedPerSecond: Double?
  /// Over the last minute.
  public var finishedPerSecond: Double?
  /// From READY to claimed, over the last minute.
  public var wait: Latency?
  /// From claimed to ended, over the last minute.
  public var run: Latency?

  /// Seconds.
  public struct Latency: Sendable, Hashable {
    /// Half of them took no longer.
    public var p50: Double
    /// One of a hundred took longer.
    public var p99: Double
  }

  init(_ answer: Answer) throws(MartletClientError) {
    let reader = try Reading.object(answer)
    countedAt = try reader.required("countedAt", reader.time("countedAt"))
    byStatus = try reader.counts("byStatus")
    byType = [:]
    if let types = try reader.object("byType") {
      for name in types.names { byType[name] = try types.counts(name) }
    }
    let throughput = try reader.object("throughput")
    submittedPerSecond = try throughput?.double("submittedPerSecond")
    finishedPerSecond = try throughput?.double("finishedPerSecond")
    let latency = try reader.object("latency")
    wait = try latency?.latency("waitSeconds")
    run = try latency?.latency("runSeconds")
  }
}

/// What a server runs.
public struct ServerVersion: Sendable, Hashable {
  /// Semantic version: `0.1.0`
  public var version: String
  /// The whole object as it came.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    let reader = try Reading.object(answer)
    version = try reader.required("version", reader.text("version"))
    json = answer.json
  }
}

/// Whether a server can serve now, and what of it is ill.
public struct ServerReadiness: Sendable, Hashable {
  public var canServe: Bool
  /// The whole object as it came: each component with its state.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    _ = try Reading.object(answer)
    canServe = answer.status == 200
    json = answer.json
  }
}

extension ObjectReader {
  fileprivate func latency(_ name: String) throws(MartletClientError) -> ServerStatistics.Latency? {
    guard let reader = try object(name), let p50 = try reader.double("p50"), let p99 = try reader.double("p99") else {
      return nil
    }
    return ServerStatistics.Latency(p50: p50, p99: p99)
  }
}
