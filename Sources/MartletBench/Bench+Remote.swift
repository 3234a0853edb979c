// A remote worker over HTTP: a backlog of no-ops drained by the engine's own worker behind a client, and by the bare protocol on a
// single connection. Server, worker and database share the machine's cores.

internal import AsyncHTTPClient
internal import Foundation
internal import Logging
internal import MartletClient
internal import MartletCore
internal import MartletEngine
internal import NIOCore
internal import NIOHTTP1

extension Bench {
  func remote(_ results: inout Results) async throws {
    let total = options.drainTasks
    let course = try await withStore { store, _ in
      try await fill(store, total)
      return try await withEngine(store, handlers: []) { engine in
        try await withHTTPServer(engine, store) { port in
          try await drainByWorker(total, in: store, port: port)
        }
      }
    }
    results.add(.remote, "one worker, from the first", course.rateFromTheFirst, "tasks/s")
    results.add(.remote, "one worker, with the start", course.rate, "tasks/s")
    let bare = try await withStore { store, _ in
      try await fill(store, total)
      return try await withEngine(store, handlers: []) { engine in
        try await withHTTPServer(engine, store) { port in
          let start = ContinuousClock.now
          try await drainByTurns(total, port: port)
          return Double(total) / elapsed(since: start)
        }
      }
    }
    results.add(.remote, "one connection, 1,000 leased and finished in turn", bare, "tasks/s")
  }

  private func drainByWorker(_ total: Int, in store: any TaskStore, port: Int) async throws -> Course {
    try await MartletClient.withClient(server: "http://127.0.0.1:\(port)") { client in
      let meter = Meter()
      var logger = Logger(label: "bench")
      logger.logLevel = .warning
      var options = RemoteWorker.Options()
      options.concurrency = 32  // as the worker inside a node
      let begin = ContinuousClock.now
      let worker = try RemoteWorker(client, handlers: [NoOp(meter: meter)], options: options, logger: logger)
      return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await worker.work() }
        let course = try await Course(of: total, in: store, since: begin) { meter.ran }
        worker.drain()
        try await group.waitForAll()
        return course
      }
    }
  }

  /// Claims and reports one after the other, as the simplest batch worker would.
  private func drainByTurns(_ total: Int, port: Int) async throws {
    var configuration = HTTPClient.Configuration()
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 1
    let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    func post(_ path: String, _ body: [UInt8]) async throws -> JSONSlice {
      var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
      request.method = .POST
      request.headers.add(name: "content-type", value: "application/json")
      request.body = .bytes(ByteBuffer(bytes: body))
      let answer = try await http.execute(request, timeout: .seconds(30))
      return try JSONScanner.scan(Array(buffer: try await answer.body.collect(upTo: 64 << 20)), maxDepth: 128)
    }
    let result: Result<Void, any Error>
    do {
      var left = total
      while left > 0 {
        let claim = #"{"worker":"bench","types":["noop"],"limit":1000,"waitSeconds":5}"#
        let leases = try await post("/leases", Array(claim.utf8))["leases"]?.elements ?? []
        guard !leases.isEmpty else { throw StoreError.unusable("\(left) tasks are left and none is to be had") }
        var writer = JSONWriter(capacity: 128 * leases.count)
        writer.object { writer in
          writer.name("results")
          writer.array(of: leases) { writer, lease in
            writer.object { writer in
              writer.field("leaseId", lease["leaseId"]?.string)
              writer.field("outcome", "SUCCESS")
            }
          }
        }
        left -= try await post("/leases/finish", writer.bytes)["data"]?.elements?.count ?? 0
      }
      result = .success(())
    } catch {
      result = .failure(error)
    }
    try await http.shutdown()
    try result.get()
  }
}
