// Stores as nodes open them, over schemas of their own in the shared server.

internal import Foundation
internal import MartletCore
internal import MartletPostgres
internal import MartletTestKit
internal import PostgresServer
internal import Synchronization
internal import Testing

enum Nodes {
  static func options(schema: String = freshSchema()) async throws -> PostgresStore.Options {
    var options = PostgresStore.Options(url: try await PostgresServer.shared.url())
    options.schema = schema
    options.durability = .relaxed
    options.connections = 2
    options.answerWithin = .seconds(120)
    return options
  }

  static func freshSchema() -> String {
    "s" + UUID().uuidString.lowercased().filter { $0 != "-" }
  }

  /// Opens so many nodes over one fresh schema, and closes them.
  static func run(_ count: Int, _ body: ([PostgresStore]) async throws -> Void) async throws {
    let options = try await options()
    var nodes: [PostgresStore] = []
    for _ in 0..<count { nodes.append(try await PostgresStore.open(options)) }
    do {
      try await body(nodes)
    } catch {
      for node in nodes { await node.close() }
      throw error
    }
    for node in nodes { await node.close() }
  }
}

/// Keeps the hints that a node hears.
final class Hints: Sendable {
  private let state = Mutex<[StoreHint]>([])

  var heard: [StoreHint] { state.withLock(\.self) }

  func hear(_ hint: StoreHint) {
    state.withLock { $0.append(hint) }
  }

  func forget() {
    state.withLock { $0 = [] }
  }
}

/// Something that is so or not, for all who look.
final class Flag: Sendable {
  private let state = Atomic(false)

  var isSet: Bool { state.load(ordering: .acquiring) }

  func set(_ value: Bool) {
    state.store(value, ordering: .releasing)
  }
}

/// Asks again until it is so; the test's time limit is the only other end.
func eventually(_ condition: () async throws -> Bool) async throws {
  while try await !condition() { try await Task.sleep(for: .milliseconds(20)) }
}

extension PostgresStore {
  func submitStub(_ task: AcceptedTask) async throws {
    _ = try await submit([Submission([task])])
  }

  func claimStub(
    limit: Int = 10, ahead: Int = 0, types: [String] = ["resize"], queues: [String] = [ClaimRequest.allQueues],
    worker: String = "w"
  ) async throws -> [ClaimedTask] {
    try await claim([
      ClaimRequest(
        worker: worker, queues: queues, types: types, limit: limit, ahead: ahead,
        token: Int64.random(in: .min ... .max))
    ])[0]
  }

  @discardableResult
  func set(_ queue: String = "default", _ change: (inout QueuePatch) -> Void) async throws -> QueueSettings {
    var patch = QueuePatch()
    change(&patch)
    return try await self.change(queue: queue, patch, actor: "key-1")
  }

  /// The one number that a query of the schema answers.
  func number(_ sql: String) async throws -> Int64 {
    let rows = try await PostgresServer.shared.query("SET search_path = \(schema); \(sql)")
    return try #require(rows.last?.first.flatMap { Int64($0) })
  }

  func status(of id: TaskID) async throws -> TaskStatus? {
    try await tasks([id])[0]?.status
  }
}
