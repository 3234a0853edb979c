// Which tasks a list shall hold, as options.

internal import ArgumentParser
internal import MartletClient

struct FilterOptions: ParsableArguments {
  @Option(name: .customLong("type"), help: "Only these types (a,b); may be repeated.", transform: Values.names)
  var types: [[String]] = []

  @Option(name: .customLong("queue"), help: "Only these queues (a,b); may be repeated.", transform: Values.names)
  var queues: [[String]] = []

  @Option(help: "Only tasks with this tag.", transform: Values.text)
  var tag: String?

  @Option(help: "Only tasks whose latest attempt this worker made.", transform: Values.text)
  var worker: String?

  @Option(name: .customLong("graph"), help: "Only the tasks of this graph.", transform: Values.taskID)
  var graphID: TaskID?

  @Option(
    name: .customLong("key"), help: "Only what was submitted with this idempotency key.",
    transform: Values.text)
  var idempotencyKey: String?

  @Option(
    name: .customLong("schedule"), help: "Only tasks that this schedule has made.", transform: Values.text)
  var scheduleName: String?

  @Option(
    help: ArgumentHelp("Only tasks with this metadata; may be repeated.", valueName: "name=value"),
    transform: Values.pair)
  var metadata: [Values.Pair] = []

  @Option(help: ArgumentHelp("Only tasks submitted at or after this time.", valueName: "time"), transform: Values.time)
  var createdAfter: Timestamp?

  @Option(help: ArgumentHelp("Only tasks submitted before this time.", valueName: "time"), transform: Values.time)
  var createdBefore: Timestamp?

  func filter(statuses: [Set<TaskStatus>] = []) throws -> TaskFilter {
    var filter = TaskFilter()
    filter.statuses = Set(statuses.joined())
    filter.types = Set(types.joined())
    filter.queues = Set(queues.joined())
    filter.tag = tag
    filter.worker = worker
    filter.graphID = graphID
    filter.idempotencyKey = idempotencyKey
    filter.scheduleName = scheduleName
    filter.metadata = try Values.map(metadata, option: "--metadata")
    filter.createdAfter = createdAfter
    filter.createdBefore = createdBefore
    return filter
  }
}

struct PagingOptions: ParsableArguments {
  @Option(help: "At most this many, newest first.")
  var limit = 50

  func validate() throws {
    guard limit > 0 else { throw ValidationError("--limit must be at least 1") }
  }
}
