// `martlet transfer`: from the embedded database to PostgreSQL, without a server: none may run on either side.

internal import ArgumentParser
internal import Foundation
internal import Martlet
internal import MartletCore
internal import Synchronization

struct TransferCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "transfer", abstract: "Copy an embedded database into PostgreSQL, whole.",
    discussion: """
      Tasks with their ids, payloads, histories and logs, schedules, keys of all kinds, settings of queues and types, graphs, the \
      audit, notices, and what brokers have not been told yet. The file is only read. Stop the server on it first: both sides \
      are refused while they are served, and so is a schema that is not empty.

      When all is copied, both sides are compared, table by table, by the number of rows and a checksum. A transfer that was cut \
      short is recognised: no server starts on what it has left, and --restart removes that and begins anew.
      """)

  @Option(help: ArgumentHelp("The embedded database: sqlite:PATH.", valueName: "url"))
  var from: String

  @Option(
    help: ArgumentHelp(
      "The database to fill: postgres://USER@HOST/DATABASE (default: database.url of the configuration).",
      valueName: "url"))
  var to: String?

  @Option(help: ArgumentHelp("The schema to fill (default: database.schema, martlet).", valueName: "name"))
  var schema: String?

  @Option(help: ArgumentHelp("The configuration file.", valueName: "file"))
  var config: String?

  @Flag(help: "Remove what a transfer that was cut short has left, and begin anew.")
  var restart = false

  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard from.hasPrefix("sqlite:") else { throw ValidationError("--from must be sqlite:PATH") }
    if let to, !to.hasPrefix("postgres://"), !to.hasPrefix("postgresql://") {
      throw ValidationError("--to must be postgres://…")
    }
  }

  func run() async throws {
    var target = try await SettingsOptions.load([
      "database.url": to, "database.schema": schema, "config.file": config,
    ]).settings.database
    var source = target
    source.url = from
    target.connections = max(1, target.connections)
    let progress = TransferProgress(isShown: isatty(STDERR_FILENO) == 1)
    let tables: [Transfer.Table]
    do throws(StoreError) {
      tables = try await Transfer.run(from: source, to: target, restarts: restart) { progress.tell($0) }
    } catch {
      throw CommandFailure(.failed, error.message)
    }
    if output.json {
      var json = JSONWriter()
      json.object { json in
        json.field("equal", true)
        json.name("tables")
        json.array(of: tables) { json, table in
          json.object { json in
            json.field("name", table.name)
            json.field("rows", table.rows)
            json.field("sha256", table.sum)
          }
        }
      }
      return Console.json(json.bytes)
    }
    var table = Table(columns: [.init("TABLE"), .init("ROWS"), .init("SHA-256 OF BOTH")])
    table.rows = tables.map { [.init($0.name), .init(String($0.rows)), .init(String($0.sum.prefix(16)))] }
    Console.out(table.rendered(for: .output))
    Console.out("all is copied and equal; the file was not changed: put it away, so that nobody serves it again")
  }
}

/// A line for each table while it goes on, for people only.
private final class TransferProgress: Sendable {
  private let isShown: Bool
  private let last = Mutex("")

  init(isShown: Bool) {
    self.isShown = isShown
  }

  func tell(_ step: Transfer.Step) {
    guard isShown else { return }
    let (line, rows) =
      switch step {
      case .copied(let table, let rows): ("copying \(table)", rows)
      case .compared(let table, let rows): ("comparing \(table)", rows)
      }
    // Each table, and every hundred thousand rows of it.
    let step = "\(line) \(rows / 100_000)"
    let isWorthTelling = last.withLock { last in
      defer { last = step }
      return last != step
    }
    if isWorthTelling, rows > 0 { Console.error("\(line): \(rows)") }
  }
}
