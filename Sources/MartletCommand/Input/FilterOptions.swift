// Which tasks a list shall hold, as options.

internal import ArgumentParser
internal import MartletClient

struct FilterOptions: ParsableArguments {
  @Option(name: .customLong("type"), help: "Only these types (a,b).", transform: Values.names)
  var types: [String] = []

  @Option(name: .customLong("queue"), help: "Only these queues (a,b).", transform: Values.names)
  var queues: [String] = []

  @Option(help: "Only tasks with this tag.")
  var tag: String?

  @Option(help: "Only tasks whose latest attempt this worker made.")
  var worker: String?

  @Option(
    help: ArgumentHelp("Only tasks with this metadata; may be repeated.", valueName: "name=value"),
    transform: Values.pair)
  var metadata: [Values.Pair] = []

  @Option(help: ArgumentHelp("Only tasks submitted at or after this time.", valueName: "time"), transform: Values.time)
  var createdAfter: Timestamp?

  @Option(help: ArgumentHelp("Only tasks submitted before this time.", valueName: "time"), transform: Values.time)
  var createdBefore: Timestamp?

  func filter(statuses: Set<TaskStatus> = []) throws -> TaskFilter {
    var filter = TaskFilter()
    filter.statuses = statuses
    filter.types = Set(types)
    filter.queues = Set(queues)
    filter.tag = tag
    filter.worker = worker
    filter.metadata = try Values.map(metadata, option: "--metadata")
    filter.createdAfter = createdAfter
    filter.createdBefore = createdBefore
    return filter
  }
}

struct PagingOptions: ParsableArguments {
  @Option(help: "At most this many tasks, newest first.")
  var limit = 50

  func validate() throws {
    guard limit > 0 else { throw ValidationError("--limit must be at least 1") }
  }
}
