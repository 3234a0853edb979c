// How an action on many tasks shall be carried out, as options; and what is printed of it.

internal import ArgumentParser
internal import MartletClient

struct BulkArguments: ParsableArguments {
  @Flag(help: "Every task: needed where no filter is given.")
  var all = false

  @Option(help: "At most this many tasks, the oldest first.")
  var limit: Int?

  @Flag(help: "Only count the tasks that match.")
  var dryRun = false

  @Option(help: ArgumentHelp("In the background, this many tasks a second.", valueName: "per-second"))
  var rate: Double?

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit must be at least 1") }
    if let rate, !rate.isFinite || rate <= 0 { throw ValidationError("--rate must be a number above 0") }
  }

  /// - Throws: neither a filter nor `--all`.
  func options(for filter: TaskFilter) throws -> BulkOptions {
    guard all || filter != TaskFilter() else {
      throw ValidationError("give a filter such as --type, or --all to mean every task")
    }
    var options = BulkOptions()
    options.all = all
    options.limit = limit
    options.dryRun = dryRun
    options.ratePerSecond = rate
    return options
  }

  func show(_ result: BulkResult, _ output: OutputOptions, _ done: String) {
    guard !output.json else { return Console.json(result.json) }
    if let id = result.bulkID {
      Console.out("goes on in the background: martlet bulk show \(id)")
    } else if dryRun {
      Console.out("\(result.matched) match")
    } else {
      let rest = result.matched > result.changed ? " of \(result.matched)" : ""
      Console.out("\(result.changed)\(rest) \(done)")
    }
  }
}
