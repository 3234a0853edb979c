// A Parameter Store as a process beside the test program (moto). It checks signatures, as AWS does.

internal import ChildProcess
internal import Foundation
internal import Synchronization

package final class AWSServer: Sendable {
  package let port: Int
  package let accessKey: String
  package let secretKey: String
  package static let region = "eu-central-1"

  package var endpoint: String { "http://127.0.0.1:\(port)" }
  /// Of a process that may ask it.
  package var environment: [String: String] {
    ["AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": secretKey, "AWS_REGION": Self.region]
  }

  private let folder: URL
  private let child: Child
  /// The server ends when this does, however the test program went; and takes its orders from it.
  private let line: Mutex<Int32?>
  private let orders = Mutex(0)

  private struct Ready: Decodable {
    var port: Int
    var accessKey: String
    var secretKey: String
  }

  package enum Kind: String, Encodable, Sendable {
    case text = "String"
    case list = "StringList"
    case secret = "SecureString"
  }

  private struct Order: Encodable {
    var name: String
    var value: String?
    var type: Kind?
  }

  package static func start() async throws -> AWSServer { try await AWSServer() }

  private init() async throws {
    let place = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    // Not by its real path: that is where a virtual environment is left behind.
    let python = place.deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent(".build/aws/bin/python").path
    guard FileManager.default.isExecutableFile(atPath: python) else {
      throw AWSServerFailed(what: "moto is missing in .build/aws: scripts/setup --test installs it")
    }
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-aws-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let log = folder.appendingPathComponent("log")
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)  // no other child may hold our end
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw AWSServerFailed(what: "no socket pair") }
    line = Mutex(ends[1])
    defer { close(ends[0]) }
    child = try Child(
      [python, place.appendingPathComponent("server.py").path, folder.path, "\(try freePort())"], input: ends[0],
      output: log, errors: log)
    let readyFile = folder.appendingPathComponent("ready")
    while !FileManager.default.fileExists(atPath: readyFile.path) {
      guard child.status == nil else {
        throw AWSServerFailed(what: "moto did not start: \(try String(contentsOf: log, encoding: .utf8))")
      }
      try await Task.sleep(for: .milliseconds(20))
    }
    let ready = try JSONDecoder().decode(Ready.self, from: try Data(contentsOf: readyFile))
    (port, accessKey, secretKey) = (ready.port, ready.accessKey, ready.secretKey)
  }

  deinit {
    line.withLock { if let end = $0 { close(end) } }
    do {
      try FileManager.default.removeItem(at: folder)
    } catch {
      print("\(folder.path) stays: \(error)")
    }
  }

  /// Returns when it is stored.
  package func put(_ name: String, _ value: String, _ kind: Kind = .text) async throws {
    try await give(Order(name: name, value: value, type: kind))
  }

  package func delete(_ name: String) async throws {
    try await give(Order(name: name))
  }

  /// Nobody answers there any more.
  package func stop() async {
    line.withLock { end in
      if let descriptor = end { close(descriptor) }
      end = nil
    }
    _ = await child.ended()
  }

  private func give(_ order: Order) async throws {
    let bytes = Array(try JSONEncoder().encode(order)) + [UInt8(ascii: "\n")]
    let written = line.withLock { end in end.map { write($0, bytes, bytes.count) } ?? -1 }
    guard written == bytes.count else { throw AWSServerFailed(what: "moto takes no orders") }
    let number = orders.withLock { orders in
      orders += 1
      return orders
    }
    let done = folder.appendingPathComponent("done")
    while (try? String(contentsOf: done, encoding: .utf8)).flatMap({ Int($0) }) ?? 0 < number {
      guard child.status == nil else {
        throw AWSServerFailed(
          what: "moto ended: \(try String(contentsOf: folder.appendingPathComponent("log"), encoding: .utf8))")
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }
}

package struct AWSServerFailed: Error, CustomStringConvertible {
  let what: String
  package var description: String { what }
}
