// `martlet bench`: the scenarios of MartletBench on this machine, as a table or as JSON.

internal import ArgumentParser
internal import Foundation
internal import MartletBench
internal import MartletCore

struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure this machine: submits, bulk, drain, remote work, events, pickup latency, backlog, memory.",
    discussion: """
      Works on SQLite files of its own or on schemas of its own in a PostgreSQL database, with every commit on disk, and \
      removes them. Each figure is the median over the rounds, with the lowest and highest. Scenarios: \
      \(Scenario.allCases.map(\.rawValue).joined(separator: ", ")).
      """)

  @Option(help: ArgumentHelp("Where to make SQLite files (default: the working directory).", valueName: "path"))
  var directory = "."
  @Option(help: ArgumentHelp("Measure on this PostgreSQL database instead, in schemas of its own.", valueName: "url"))
  var database: String?
  @Option(help: ArgumentHelp("Tell events to these brokers instead of a mock.", valueName: "host:port,…"))
  var kafka: String?
  @Option(help: "Processes that carry out tasks, 1 or 2; 2 only with --database.")
  var nodes = 1
  @Option(help: "How often to run each scenario.")
  var rounds = 5
  @Option(help: "Tasks in the backlog that is drained.")
  var tasks = 100_000
  @Option(help: "Seconds of each submit and pickup measurement.")
  var seconds = 3.0
  @Option(name: .customLong("scenario"), help: ArgumentHelp("Only this one; may be repeated.", valueName: "name"))
  var scenarios: [Scenario] = []
  @Option(help: .hidden)
  var node: String?  // the schema on which this process is one of the nodes
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard database.map({ $0.hasPrefix("postgres://") || $0.hasPrefix("postgresql://") }) ?? true else {
      throw ValidationError("--database must begin with postgres://")
    }
    guard nodes == 1 || (nodes == 2 && database != nil) else {
      throw ValidationError("--nodes must be 1, or 2 with --database")
    }
    guard !scenarios.contains(database == nil ? .backlog : .memory) else {
      throw ValidationError("the scenario backlog is for --database, memory for SQLite")
    }
    guard (1...100).contains(rounds) else { throw ValidationError("--rounds must be from 1 to 100") }
    guard (1000...10_000_000).contains(tasks) else { throw ValidationError("--tasks must be from 1000 to 10000000") }
    guard (0.1...600).contains(seconds) else { throw ValidationError("--seconds must be from 0.1 to 600") }
  }

  func run() async throws {
    var options = BenchOptions(directory: directory)
    options.rounds = rounds
    options.drainTasks = tasks
    options.seconds = seconds
    options.database = database
    options.nodes = nodes
    options.kafka = kafka?.split(separator: ",").map(String.init) ?? []
    options.executable = Bundle.main.executablePath
    if !scenarios.isEmpty { options.scenarios = Set(scenarios) }
    let bench = Bench(options) { Console.error($0) }
    let measurements: [BenchResult]
    do {
      if let node { return try await bench.runNode(schema: node) }
      measurements = try await bench.run()
    } catch {
      throw CommandFailure(.failed, (error as? StoreError)?.message ?? String(describing: error))
    }
    if output.json { writeJSON(measurements) } else { writeTable(measurements) }
  }

  private func writeTable(_ measurements: [BenchResult]) {
    var table = Table(columns: [
      .init("SCENARIO"), .init("WHAT"), .init("MEDIAN", isNumber: true), .init("LOWEST", isNumber: true),
      .init("HIGHEST", isNumber: true), .init("UNIT"),
    ])
    table.rows = measurements.map { measurement in
      [
        .init(measurement.scenario.rawValue), .init(measurement.name), .init(shown(measurement.median)),
        .init(shown(measurement.lowest)), .init(shown(measurement.highest)), .init(measurement.unit),
      ]
    }
    Console.out(table.rendered(for: .output))
  }

  private func writeJSON(_ measurements: [BenchResult]) {
    var writer = JSONWriter()
    writer.object { writer in
      writer.name("measurements")
      writer.array(of: measurements) { writer, measurement in
        writer.object { writer in
          writer.field("scenario", measurement.scenario.rawValue)
          writer.field("name", measurement.name)
          writer.field("unit", measurement.unit)
          writer.field("median", measurement.median)
          writer.name("values")
          writer.array(of: measurement.values) { $0.double($1) }
        }
      }
    }
    Console.json(writer.bytes)
  }

  private func shown(_ value: Double) -> String {
    value >= 100 ? String(Int(value.rounded())) : String((value * 100).rounded() / 100)
  }
}

extension Scenario: ExpressibleByArgument {}
