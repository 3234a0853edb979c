// `martlet bench`: the scenarios of MartletBench on this machine, as a table or as JSON.

internal import ArgumentParser
internal import Foundation
internal import MartletBench
internal import MartletCore

struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measure this machine: submits, bulk, drain, pickup latency, memory.",
    discussion: """
      Works on databases of its own in the given directory, with fsync at every commit, and removes them. Each figure is the \
      median over the rounds, with the lowest and highest. Scenarios: \
      \(Scenario.allCases.map(\.rawValue).joined(separator: ", ")).
      """)

  @Option(help: ArgumentHelp("Where to make the databases (default: the working directory).", valueName: "path"))
  var directory = "."
  @Option(help: "How often to run each scenario.")
  var rounds = 5
  @Option(help: "Tasks in the backlog that is drained.")
  var tasks = 100_000
  @Option(help: "Seconds of each submit and pickup measurement.")
  var seconds = 3.0
  @Option(name: .customLong("scenario"), help: ArgumentHelp("Only this one; may be repeated.", valueName: "name"))
  var scenarios: [Scenario] = []
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (1...100).contains(rounds) else { throw ValidationError("--rounds must be from 1 to 100") }
    guard (1000...10_000_000).contains(tasks) else { throw ValidationError("--tasks must be from 1000 to 10000000") }
    guard (0.1...600).contains(seconds) else { throw ValidationError("--seconds must be from 0.1 to 600") }
  }

  func run() async throws {
    var options = BenchOptions(directory: directory)
    options.rounds = rounds
    options.drainTasks = tasks
    options.seconds = seconds
    options.executable = Bundle.main.executablePath
    if !scenarios.isEmpty { options.scenarios = Set(scenarios) }
    let measurements: [BenchResult]
    do {
      measurements = try await Bench(options) { Console.error($0) }.run()
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
