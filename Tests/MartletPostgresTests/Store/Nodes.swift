// Stores as nodes open them, over schemas of their own in the shared server.

internal import Foundation
internal import MartletCore
internal import MartletPostgres
internal import MartletTestKit
internal import PostgresServer
internal import Synchronization

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
}

extension PostgresStore {
  func submitStub(_ task: AcceptedTask) async throws {
    _ = try await submit([Submission([task])])
  }

  func claimStub(
    limit: Int = 10, ahead: Int = 0, types: [String] = ["resize"], worker: String = "w"
  ) async throws -> [ClaimedTask] {
    try await claim([
      ClaimRequest(
        worker: worker, queues: [ClaimRequest.allQueues], types: types, limit: limit, ahead: ahead,
        token: Int64.random(in: .min ... .max))
    ])[0]
  }

  func status(of id: TaskID) async throws -> TaskStatus? {
    try await tasks([id])[0]?.status
  }
}
