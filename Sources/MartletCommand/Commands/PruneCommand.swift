// `martlet prune`: retention by hand, straight in the database, also while servers are running: what goes, and what is kept and why.

internal import ArgumentParser
internal import Foundation
internal import Martlet
internal import MartletCore

struct PruneCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune", abstract: "Delete tasks that are past their retention now, or show what would go.",
    discussion: """
      Servers do this by themselves, a few tasks at a time, by the settings retention.successSeconds, deadSeconds and \
      cancelledSeconds. This command does it at once, by the same settings (also those that PATCH /settings has set for all \
      nodes) or by --older-than, and says what is kept and why: a task that others wait for, whose idempotency key is young, or \
      whose events or notices are not delivered yet stays, whatever its age. It works on the database itself, beside running \
      servers, as whoever can write it.
      """)

  @Flag(help: "Only show what would go.")
  var dryRun = false

  @Option(
    help: "Only tasks of these final statuses (SUCCESS,DEAD,CANCELLED); may be repeated.", transform: Values.statuses)
  var status: [Set<TaskStatus>] = []

  @Option(
    name: .customLong("older-than"),
    help: ArgumentHelp(
      "Tasks that ended longer ago than this (30d, 12h), instead of what the settings say.", valueName: "time"),
    transform: Values.seconds)
  var olderThan: Double?

  @Option(
    help: ArgumentHelp(
      "The database: sqlite:PATH or postgres://USER@HOST/DATABASE (default: database.url of the configuration).",
      valueName: "url"))
  var database: String?

  @Option(help: ArgumentHelp("The configuration file.", valueName: "file"))
  var config: String?

  @OptionGroup var output: OutputOptions

  func validate() throws {
    let others = Set(status.joined()).filter { !$0.isFinal }
    guard others.isEmpty else {
      throw ValidationError("--status takes SUCCESS, DEAD and CANCELLED: no other task is ever deleted")
    }
    if let olderThan, !(0...Limits.farthestSeconds).contains(olderThan) {
      throw ValidationError("--older-than must be from 0s to 36525d")
    }
  }

  func run() async throws {
    let (loaded, sources) = try await SettingsOptions.loadAndKeep(["database.url": database, "config.file": config])
    do {
      let retention = try await DirectRetention.open(loaded.settings.database)
      let result: Result<Void, any Error>
      do { result = .success(try await sweep(retention, sources)) } catch { result = .failure(error) }
      await retention.close()
      try result.get()
    } catch let error as StoreError {
      throw CommandFailure(.failed, error.message)
    }
  }

  private func sweep(_ retention: DirectRetention, _ sources: SettingsSources) async throws {
    let shared = try await retention.overrides()
    let policy = policy(try SettingsOptions.load(sources, overrides: shared).settings)
    show(try await retention.sweep(policy, deletes: !dryRun), policy, retention.database)
  }

  private func policy(_ settings: Settings) -> RetentionPolicy {
    var policy = settings.retention.policy
    policy.keys = .seconds(settings.idempotency.retentionSeconds)
    if let olderThan { (policy.success, policy.dead, policy.cancelled) = Self.same(.wire(seconds: olderThan)) }
    let wanted = Set(status.joined())
    guard !wanted.isEmpty else { return policy }
    if !wanted.contains(.success) { policy.success = nil }
    if !wanted.contains(.dead) { policy.dead = nil }
    if !wanted.contains(.cancelled) { policy.cancelled = nil }
    return policy
  }

  private static func same(_ duration: Duration) -> (Duration?, Duration?, Duration?) { (duration, duration, duration) }

  private func show(_ report: DirectRetention.Report, _ policy: RetentionPolicy, _ database: String) {
    if output.json { return Console.json(PruneSheet.json(report, isDryRun: dryRun)) }
    Console.out(PruneSheet.text(report, policy, database: database, isDryRun: dryRun, for: .output))
  }
}
