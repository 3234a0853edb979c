// What can be set for queues and types, and the bodies that set it.

public import MartletCore

/// Changes to a queue's settings; what is not set stays as it is.
public struct QueueChanges: Sendable, Hashable {
  /// A limit as it shall be.
  public enum Limit<Value: Sendable & Hashable>: Sendable, Hashable {
    case unlimited
    case value(Value)
  }

  /// Nothing of a paused queue is given out.
  public var paused: Bool?
  /// Tasks that run at once, over all nodes: 1…1,000,000.
  public var concurrency: Limit<Int>?
  /// The same for tasks of one concurrency key.
  public var concurrencyPerKey: Limit<Int>?
  /// Attempts begun in a second, over all nodes: 0.001…1,000,000.
  public var ratePerSecond: Limit<Double>?
  /// How many may begin at once after a rest: 1…1,000,000; unlimited stands for what one second brings.
  public var burst: Limit<Int>?
  /// Tasks that may wait; beyond it submissions are refused: 1…1,000,000,000.
  public var maxDepth: Limit<Int>?
  /// Who is told how its tasks ended, where neither they nor their types say it; unlimited leaves it to the installation.
  public var notify: Limit<[NoticeTarget]>?

  /// Changes nothing yet.
  public init() {}

  var fault: MartletClientError? {
    guard case .value(let rate) = ratePerSecond else { return nil }
    return FiniteNumbers.fault(["ratePerSecond": rate])
  }

  var json: [UInt8] {
    var writer = JSONWriter(capacity: 128)
    writer.object { writer in
      if let paused { writer.field("paused", paused) }
      Self.write("concurrency", concurrency, to: &writer) { $0.int($1) }
      Self.write("concurrencyPerKey", concurrencyPerKey, to: &writer) { $0.int($1) }
      Self.write("ratePerSecond", ratePerSecond, to: &writer) { $0.double($1) }
      Self.write("burst", burst, to: &writer) { $0.int($1) }
      Self.write("maxDepth", maxDepth, to: &writer) { $0.int($1) }
      Self.write("notify", notify, to: &writer) { $1.write(to: &$0) }
    }
    return writer.bytes
  }

  private static func write<Value>(
    _ name: String, _ limit: Limit<Value>?, to writer: inout JSONWriter, _ body: (inout JSONWriter, Value) -> Void
  ) {
    guard let limit else { return }
    writer.name(name)
    switch limit {
    case .unlimited: writer.null()
    case .value(let value): body(&writer, value)
    }
  }
}

/// What is set for a type: what its submissions leave out, and whether it is given out at all.
public struct TypeRules: Sendable, Hashable {
  public var paused = false
  public var queue: String?
  /// 1…9
  public var priority: Int?
  /// 0…100
  public var retries: Int?
  public var backoff: NewTask.Backoff?
  public var timeoutSeconds: Double?
  public var leaseSeconds: Double?
  /// Who is told how they ended.
  public var notify: [NoticeTarget]?

  /// Nothing.
  public init() {}

  var fault: MartletClientError? {
    backoff.fault(besides: ["timeoutSeconds": timeoutSeconds, "leaseSeconds": leaseSeconds])
  }

  var json: [UInt8] {
    var defaults = TypeDefaults()
    (defaults.queue, defaults.priority, defaults.retries) = (queue, priority, retries)
    (defaults.backoff, defaults.timeoutSeconds, defaults.leaseSeconds) = (backoff, timeoutSeconds, leaseSeconds)
    defaults.notify = notify
    var writer = JSONWriter(capacity: 128)
    writer.object { writer in
      writer.name("defaults")
      defaults.write(to: &writer)
      writer.field("paused", paused)
    }
    return writer.bytes
  }
}

/// A type of tasks: who handles it, what is set for it, and how many there are.
public struct TypeState: Sendable, Hashable {
  public var name: String
  public var rules: TypeRules
  /// Ids of the live workers that handle it.
  public var workers: [String]
  /// Tasks by status.
  public var counts: [TaskStatus: Int]
  /// The whole object as it came.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    try self.init(Reading.object(answer))
  }

  init(_ reader: ObjectReader) throws(MartletClientError) {
    name = try reader.required("name", reader.text("name"))
    workers = try reader.texts("workers")
    counts = try reader.counts("counts")
    json = reader.slice.bytes
    rules = TypeRules()
    rules.paused = try reader.bool("paused") ?? false
    guard let defaults = try reader.object("defaults") else { return }
    var problems = Problems()  // what a newer server says besides is passed over
    let its = TypeDefaults(defaults.slice, at: "/defaults", problems: &problems)
    (rules.queue, rules.priority, rules.retries) = (its.queue, its.priority, its.retries)
    (rules.backoff, rules.timeoutSeconds, rules.leaseSeconds) = (its.backoff, its.timeoutSeconds, its.leaseSeconds)
    rules.notify = its.notify
  }
}
