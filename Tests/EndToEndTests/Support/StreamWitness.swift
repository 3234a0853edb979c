// One who listens to the event stream from outside and comes back when its connection breaks, as any client would: it knows the text of
// server-sent events and nothing of Martlet.

internal import AsyncHTTPClient
internal import Foundation
internal import MartletCore
internal import NIOCore
internal import NIOHTTP1
internal import Synchronization

final class StreamWitness: Sendable {
  struct Event: Sendable, Equatable {
    var position: Int
    var id: String
    var task: String
    var sequence: Int
    var type: String
  }

  private struct State {
    var events: [Event] = []
    var lastID: String?
    var connections = 0
    var address: String?
    var refusals: [String] = []
  }

  private let addresses: @Sendable () -> [String]
  private let query: String
  private let state = Mutex(State())

  init(_ query: String = "", after lastID: String? = nil, addresses: @escaping @Sendable () -> [String]) {
    self.addresses = addresses
    self.query = query
    state.withLock { $0.lastID = lastID }
  }

  var events: [Event] { state.withLock(\.events) }
  /// Answers other than the stream, but for those of a server that comes or goes.
  var refusals: [String] { state.withLock(\.refusals) }
  /// How often it was let in.
  var connections: Int { state.withLock(\.connections) }

  /// Where it was let in last.
  var address: String? { state.withLock(\.address) }

  /// Listens while `body` runs.
  func listening<Value: Sendable>(_ body: @Sendable () async throws -> Value) async throws -> Value {
    let client = HTTPClient(eventLoopGroupProvider: .singleton)
    do {
      let value = try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await self.listen(client) }
        defer { group.cancelAll() }
        return try await body()
      }
      try await client.shutdown()
      return value
    } catch {
      try? await client.shutdown()
      throw error
    }
  }

  private func listen(_ client: HTTPClient) async {
    var turn = 0
    while !Task.isCancelled {
      let addresses = addresses()
      turn += 1
      if !addresses.isEmpty {
        do { try await connect(client, addresses[turn % addresses.count]) } catch {}  // it comes back
      }
      do { try await Task.sleep(for: .milliseconds(50)) } catch { return }
    }
  }

  private func connect(_ client: HTTPClient, _ address: String) async throws {
    var request = HTTPClientRequest(url: address + "/events/stream" + query)
    if let id = state.withLock(\.lastID) { request.headers.add(name: "Last-Event-ID", value: id) }
    let response = try await client.execute(request, timeout: .seconds(30))
    guard response.status == .ok else {
      let text = String(buffer: try await response.body.collect(upTo: 1 << 20))
      if response.status != .serviceUnavailable { state.withLock { $0.refusals.append("\(response.status): \(text)") } }
      return
    }
    state.withLock { state in
      state.connections += 1
      state.address = address
    }
    var rest = ""
    for try await piece in response.body {
      rest += String(buffer: piece)
      while let end = rest.range(of: "\n\n") {
        try take(String(rest[..<end.lowerBound]))
        rest = String(rest[end.upperBound...])
      }
    }
  }

  private func take(_ block: String) throws {
    var fields: [String: String] = [:]
    for line in block.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
      if parts.count == 2 { fields[parts[0]] = String(parts[1].drop { $0 == " " }) }
    }
    guard let id = fields["id"] else { return }
    let event = try fields["data"].map { data -> Event in
      let json = try JSONScanner.scan(Array(data.utf8))
      return Event(
        position: Int(id) ?? -1, id: json["id"]?.string ?? "", task: json["subject"]?.string ?? "",
        sequence: Int(json["sequence"]?.string ?? "") ?? -1, type: json["type"]?.string ?? "")
    }
    state.withLock { state in
      state.lastID = id
      if let event { state.events.append(event) }
    }
  }
}
