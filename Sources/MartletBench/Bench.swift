// The scenarios of `martlet bench`: each makes a fresh store, does its work with every commit on disk, and gives figures per
// second or milliseconds. On PostgreSQL it is one contender of Benchmarks/run, which starts the server and the others.

internal import Foundation
internal import Logging
internal import MartletCore
internal import MartletEngine

package struct BenchOptions: Sendable {
  /// Where SQLite files are made; removed afterwards.
  package var directory: String
  /// `postgres://…` of a database that gets a schema for each measurement, removed afterwards; nil for SQLite.
  package var database: String?
  package var rounds = 5
  package var drainTasks = 100_000
  /// Of each submit and pickup measurement.
  package var seconds = 3.0
  /// Processes that carry out tasks; more than one only on PostgreSQL.
  package var nodes = 1
  package var scenarios: Set<Scenario> = Set(Scenario.allCases)
  /// `host:port` of brokers that hear of events; empty for a mock.
  package var kafka: [String] = []
  /// The `martlet` binary, for what runs in processes of its own.
  package var executable: String?

  package init(directory: String) {
    self.directory = directory
  }
}

package enum Scenario: String, CaseIterable, Sendable {
  /// Durable single submits, in process.
  case submit
  /// The same over HTTP.
  case http
  /// 1,000 tasks a call.
  case bulk
  case drain
  /// The same by a worker over HTTP.
  case remote
  /// What waiting for others costs.
  case graphs
  /// What limits of queues and keys cost.
  case limits
  /// What the outbox tells.
  case events
  case pickup
  /// What a claim costs where much waits or has ended; for PostgreSQL.
  case backlog
  /// Resident memory of an idle server; for SQLite.
  case memory
}

/// One measured thing: a value per round.
package struct BenchResult: Sendable {
  package var scenario: Scenario
  package var name: String
  package var unit: String
  package var values: [Double]

  package var median: Double {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return .nan }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
  package var lowest: Double { values.min() ?? .nan }
  package var highest: Double { values.max() ?? .nan }
}

package struct Bench: Sendable {
  let options: BenchOptions
  let progress: @Sendable (String) -> Void

  package init(_ options: BenchOptions, progress: @escaping @Sendable (String) -> Void) {
    self.options = options
    self.progress = progress
  }

  /// All rounds of all scenarios, interleaved, so that a slow minute of the machine hits each alike.
  package func run() async throws -> [BenchResult] {
    var results = Results()
    for round in 1...options.rounds {
      for scenario in Scenario.allCases where options.scenarios.contains(scenario) {
        progress("round \(round) of \(options.rounds): \(scenario.rawValue)")
        switch scenario {
        case .submit: try await submit(&results)
        case .http: try await http(&results)
        case .bulk: try await bulk(&results)
        case .drain: try await drain(&results)
        case .remote: try await remote(&results)
        case .graphs: try await graphs(&results)
        case .limits: try await limits(&results)
        case .events: try await events(&results)
        case .pickup: try await pickup(&results)
        case .backlog: try await backlog(&results)
        case .memory: try await memory(&results)
        }
      }
    }
    return results.measurements
  }

  /// A fresh store, gone afterwards.
  func withStore<Value>(_ body: (any TaskStore, Place) async throws -> Value) async throws -> Value {
    let place = Place.fresh(options)
    let store = try await place.open()
    let result: Result<Value, any Error>
    do { result = .success(try await body(store, place)) } catch { result = .failure(error) }
    await store.close()
    try await place.remove()
    return try result.get()
  }

  /// A running engine over the store, drained when `body` is done.
  func withEngine<Value: Sendable>(
    _ store: any TaskStore, handlers: [any TaskHandler], sinks: [any EventSink] = [], streamKept: Duration? = nil,
    _ body: @Sendable (Engine) async throws -> Value
  ) async throws -> Value {
    let concurrency = 32  // the default of `martlet serve`
    var settings = EngineSettings()
    settings.sinks = sinks
    settings.streamKept = streamKept
    if !handlers.isEmpty {
      settings.worker = Worker.Settings(
        id: "bench-\(UUID().uuidString)", queues: [ClaimRequest.allQueues], concurrency: concurrency,
        grace: .seconds(10))
    }
    let executor = HandlerExecutor(maxThreads: concurrency)
    defer { executor.shutdown() }
    var logger = Logger(label: "bench")
    logger.logLevel = .warning
    let engine = Engine(
      settings, store: store, registry: try HandlerRegistry(handlers), executor: executor, clock: SystemClock(),
      random: .system, metrics: TaskMetrics(factory: PrometheusRegistry()), logger: logger)
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await engine.run() }
      defer { engine.drain() }
      return try await body(engine)
    }
  }
}

/// Values by scenario and name, in the order in which they first came.
struct Results: Sendable {
  private(set) var measurements: [BenchResult] = []

  mutating func add(_ scenario: Scenario, _ name: String, _ value: Double, _ unit: String) {
    if let index = measurements.firstIndex(where: { $0.scenario == scenario && $0.name == name }) {
      measurements[index].values.append(value)
    } else {
      measurements.append(BenchResult(scenario: scenario, name: name, unit: unit, values: [value]))
    }
  }
}

func elapsed(since start: ContinuousClock.Instant) -> Double {
  seconds(from: start, to: .now)
}

func seconds(from start: ContinuousClock.Instant, to end: ContinuousClock.Instant) -> Double {
  milliseconds(end - start) / 1000
}

func milliseconds(_ duration: Duration) -> Double {
  Double(duration.components.seconds) * 1000 + Double(duration.components.attoseconds) / 1e15
}

let wallClock: @Sendable () -> Timestamp = { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }

/// A payload of about 200 bytes, as a mail or a payment has.
let samplePayload = Array(
  #"{"to":"user@example.com","subject":"Welcome to Our Platform!","orderId":"ord_018f7e1c","amount":1999,"currency":"EUR","items":[{"sku":"A-1","n":2},{"sku":"B-7","n":1}],"note":"leave at the door"}"#
    .utf8)
