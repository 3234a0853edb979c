// The HTTP API from outside, by a client that knows nothing of Martlet and never tries again.

internal import AsyncHTTPClient
internal import Foundation
internal import MartletCore
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Testing

struct API: Sendable {
  let address: String
  /// Sent as `X-API-Key`.
  var key: String?

  /// Never shut down: it lives as long as the test program.
  private static let client: HTTPClient = {
    var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.timeout.connect = .seconds(60)
    // Below the server's: of two that end at the same moment a request may fall in between.
    configuration.connectionPool.idleTimeout = .seconds(45)
    return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }()

  func get(_ target: String) async throws -> Reply {
    try await send(.GET, target, body: nil)
  }

  func post(_ target: String, _ json: String = "{}", headers: [(String, String)] = []) async throws -> Reply {
    try await send(.POST, target, body: json, headers: headers)
  }

  func patch(_ target: String, _ json: String) async throws -> Reply {
    try await send(.PATCH, target, body: json)
  }

  func delete(_ target: String) async throws -> Reply {
    try await send(.DELETE, target, body: nil)
  }

  private func send(
    _ method: HTTPMethod, _ target: String, body: String?, headers: [(String, String)] = []
  ) async throws -> Reply {
    var request = HTTPClientRequest(url: address + target)
    request.method = method
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    if let key { request.headers.add(name: "X-API-Key", value: key) }
    if let body {
      request.headers.add(name: "Content-Type", value: "application/json")
      request.body = .bytes(ByteBuffer(string: body))
    }
    let response = try await Self.client.execute(request, timeout: .seconds(120))
    let bytes = Array(buffer: try await response.body.collect(upTo: 64 << 20))
    return Reply(status: Int(response.status.code), headers: response.headers, body: bytes)
  }

  /// True where the request cannot have reached the server.
  static func neverArrived(_ error: any Error) -> Bool {
    error is NIOConnectionError || (error as? IOError)?.errnoCode == ECONNREFUSED
  }
}

struct Reply: Sendable {
  var status: Int
  var headers: HTTPHeaders
  var body: [UInt8]

  var text: String { String(decoding: body, as: UTF8.self) }

  func json() throws -> JSONSlice {
    try JSONScanner.scan(body)
  }

  /// Of `/health/ready`: the node can serve, or nothing but its store keeps it from that, which has a second to answer and on a
  /// loaded machine may need more.
  func isReadyButForStore() throws -> Bool {
    if status == 200 { return true }
    let failing = try json()["components"]?.elements?.filter { $0["status"]?.string == "failing" } ?? []
    let names = failing.compactMap { $0["name"]?.string }
    return status == 503 && names.contains("store") && !names.contains("node")
  }
}

extension [String] {
  /// Of attempts: done in the end, and LOST before. On a loaded machine more leases end than the one that is meant to.
  var areSuccessAfterLost: Bool {
    count >= 2 && last == "SUCCESS" && dropLast().allSatisfy { $0 == "LOST" }
  }
}

extension API {
  /// Submits a task that must be accepted; its id.
  func submit(_ json: String) async throws -> String {
    let reply = try await post("/tasks", json)
    guard reply.status == 201, let id = try reply.json()["id"]?.string else { throw Unexpected(reply: reply) }
    return id
  }

  func task(_ id: String) async throws -> JSONSlice {
    try await found("/tasks/\(id)")
  }

  func attempts(of id: String) async throws -> [JSONSlice] {
    try await found("/tasks/\(id)/attempts")["data"]?.elements ?? []
  }

  /// How a task's attempts ended, first to last.
  func outcomes(of id: String) async throws -> [String] {
    try await attempts(of: id).map { $0["outcome"]?.string ?? "none" }
  }

  func events(of id: String) async throws -> [JSONSlice] {
    try await found("/tasks/\(id)/events")["data"]?.elements ?? []
  }

  /// All tasks, page by page.
  func allTasks() async throws -> [JSONSlice] {
    var tasks: [JSONSlice] = []
    var cursor: String?
    repeat {
      let page = try await found("/tasks?limit=1000" + (cursor.map { "&cursor=\($0)" } ?? ""))
      tasks += page["data"]?.elements ?? []
      cursor = page["nextCursor"]?.string
    } while cursor != nil
    return tasks
  }

  func found(_ target: String) async throws -> JSONSlice {
    let reply = try await get(target)
    guard reply.status == 200 else { throw Unexpected(reply: reply) }
    return try reply.json()
  }

  /// Waits until a task has a status.
  @discardableResult
  func task(_ id: String, becomes status: String) async throws -> JSONSlice {
    try await eventually("task \(id) is \(status)") {
      let task = try await task(id)
      return task["status"]?.string == status ? task : nil
    }
  }

  /// Waits until the node says that it can serve, and no longer for anything but its store.
  @discardableResult
  func becomesReady() async throws -> Reply {
    try await eventually("the node is ready") {
      let reply = try await get("/health/ready")
      #expect(try reply.isReadyButForStore(), "\(reply.text)")
      return reply.status == 200 ? reply : nil
    }
  }

  /// Waits until no task can move any more.
  func allAreAtRest() async throws {
    try await eventually("all tasks are final") {
      let counts = try await found("/stats")["byStatus"]
      return ["PENDING", "READY", "RUNNING", "RETRY"].allSatisfy { counts?[$0]?.int == 0 }
    }
  }

  struct Unexpected: Error, CustomStringConvertible {
    let reply: Reply
    var description: String { "unexpected answer \(reply.status): \(reply.text)" }
  }
}
