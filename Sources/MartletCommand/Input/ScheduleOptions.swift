// When a schedule recurs and what its tasks are, as options: the same for a new schedule and for a changed one.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore

/// Nothing given is nothing changed.
struct ScheduleOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Five fields as in crontab, or @daily and the like: '30 2 * * MON-FRI'.", valueName: "expression"))
  var cron: String?

  @Option(
    help: ArgumentHelp("Instead of --cron: each time this long after the last one.", valueName: "time"),
    transform: Values.seconds)
  var every: Double?

  @Option(help: ArgumentHelp("By whose clocks --cron goes: Europe/Berlin (default: UTC).", valueName: "zone"))
  var timeZone: String?

  @Option(
    help: ArgumentHelp(
      "Ticks that no server saw within a minute: SKIP, or FIRE_ONCE for the latest of them (default: SKIP).",
      valueName: "policy"), transform: Self.misfire)
  var misfire: ScheduleDefinition.Misfire?

  @Option(
    help: ArgumentHelp(
      "While the latest task is not final: ALLOW another one, or SKIP (default: ALLOW).", valueName: "policy"),
    transform: Self.overlap)
  var overlap: ScheduleDefinition.Overlap?

  func validate() throws {
    if cron != nil, every != nil { throw ValidationError("--cron and --every cannot be given together") }
    if every != nil, timeZone != nil { throw ValidationError("--time-zone goes with --cron, not with --every") }
  }

  /// Nil where neither is given.
  var recurrence: ScheduleDefinition.Recurrence? {
    if let cron { return .cron(cron, timeZone: timeZone ?? "UTC") }
    return every.map { .every(seconds: $0) }
  }

  func change(_ body: inout ScheduleBody) {
    if let cron {
      body.set("cron") { $0.string(cron) }
      body.set("everySeconds", nil)
    }
    if let timeZone { body.set("timeZone") { $0.string(timeZone) } }
    if let every {
      body.set("everySeconds") { $0.double(every) }
      body.set("cron", nil)
      body.set("timeZone", nil)
    }
    if let misfire { body.set("misfire") { $0.string(misfire.rawValue) } }
    if let overlap { body.set("overlap") { $0.string(overlap.rawValue) } }
  }

  private static func misfire(_ text: String) throws -> ScheduleDefinition.Misfire {
    try Values.choice(text.uppercased().replacing("-", with: "_"))
  }

  private static func overlap(_ text: String) throws -> ScheduleDefinition.Overlap {
    try Values.choice(text.uppercased())
  }
}

/// What each task of a schedule is made from.
struct TemplateOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp("What to do: JSON, @FILE, or - for the standard input (default {}).", valueName: "json"),
    transform: PayloadSource.init)
  var payload: PayloadSource?

  @Option(help: "The queue (default: default).")
  var queue: String?

  @Option(help: ArgumentHelp("1…9, 9 is most urgent (default 5).", valueName: "1…9"))
  var priority: Int?

  @Option(help: ArgumentHelp("0…100 after the first attempt.", valueName: "n"))
  var retries: Int?

  @Option(help: ArgumentHelp("How long one attempt may take.", valueName: "time"), transform: Values.seconds)
  var timeout: Double?

  @Option(help: ArgumentHelp("How long a silent worker keeps it.", valueName: "time"), transform: Values.seconds)
  var lease: Double?

  @Option(help: Values.backoffHelp, transform: Values.backoff)
  var backoff: NewTask.Backoff?

  @Option(
    help: ArgumentHelp("Few tasks of one key run at once (a queue's concurrencyPerKey, default 1).", valueName: "key"))
  var concurrencyKey: String?

  @Option(name: .customLong("tag"), help: ArgumentHelp("May be repeated.", valueName: "tag"))
  var tags: [String] = []

  @Option(help: ArgumentHelp("May be repeated.", valueName: "name=value"), transform: Values.pair)
  var metadata: [Values.Pair] = []

  func task(type: String) throws -> NewTask {
    var task = NewTask(type: type)
    if let payload { task.payload = try payload.read() }
    task.queue = queue
    task.priority = priority
    task.retries = retries
    task.timeoutSeconds = timeout
    task.leaseSeconds = lease
    task.backoff = backoff
    task.concurrencyKey = concurrencyKey
    task.tags = tags
    task.metadata = try Values.map(metadata, option: "--metadata")
    return task
  }

  func change(_ body: inout ScheduleBody) throws {
    if let payload {
      let json = try payload.read()
      body.setTask("payload") { $0.raw(json) }
    }
    if let queue { body.setTask("queue") { $0.string(queue) } }
    if let priority { body.setTask("priority") { $0.int(priority) } }
    if let retries { body.setTask("retries") { $0.int(retries) } }
    if let timeout { body.setTask("timeoutSeconds") { $0.double(timeout) } }
    if let lease { body.setTask("leaseSeconds") { $0.double(lease) } }
    if let backoff { body.setTask("backoff") { backoff.write(to: &$0) } }
    if let concurrencyKey { body.setTask("concurrencyKey") { $0.string(concurrencyKey) } }
    if !tags.isEmpty { body.setTask("tags") { $0.array(of: tags) { $0.string($1) } } }
    let metadata = try Values.map(metadata, option: "--metadata")
    if !metadata.isEmpty {
      body.setTask("metadata") { json in
        json.object { json in
          for (name, value) in metadata.sorted(by: { $0.key < $1.key }) { json.field(name, value) }
        }
      }
    }
  }
}

extension Values {
  /// One of the cases of a text enumeration.
  static func choice<Choice: RawRepresentable & CaseIterable>(
    _ text: String
  ) throws -> Choice where Choice.RawValue == String {
    guard let choice = Choice(rawValue: text) else {
      let all = Choice.allCases.map(\.rawValue).joined(separator: " or ")
      throw ValidationError("\(all) was expected")
    }
    return choice
  }
}
