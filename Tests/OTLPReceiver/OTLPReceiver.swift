// A real receiver of OpenTelemetry (oteltap) as a process beside the test program: it reads what is sent to it by OTLP over HTTP with
// messages that are not ours, and tells what it has understood.

internal import ChildProcess
internal import Foundation
internal import Synchronization

package final class OTLPReceiver: Sendable {
  package let port: Int
  private let output: URL
  private let child: Child
  /// It ends when this does, however the test program went.
  private let lifeline: Mutex<Int32?>

  package var endpoint: String { "http://127.0.0.1:\(port)" }

  /// - Parameter port: of one that has stopped, whose place it takes.
  package static func start(port: Int? = nil) async throws -> OTLPReceiver {
    let receiver = try OTLPReceiver(at: port ?? freePort())
    while !receiver.lines.contains("ready") {
      guard receiver.child.status == nil else {
        throw ChildFailed(description: "oteltap did not start: \(receiver.lines.joined(separator: "\n"))")
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    return receiver
  }

  private init(at port: Int) throws {
    self.port = port
    let place = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    // Not by its real path: that is where a virtual environment is left behind.
    let python = place.deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent(".build/oteltap/bin/python").path
    guard FileManager.default.isExecutableFile(atPath: python) else {
      throw ChildFailed(description: "oteltap is missing in .build/oteltap: scripts/setup --test installs it")
    }
    output = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-otlp-\(UUID())")
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)  // no other child may hold our end
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw ChildFailed(description: "no socket pair") }
    lifeline = Mutex(ends[1])
    defer { close(ends[0]) }
    child = try Child(
      [python, place.appendingPathComponent("receiver.py").path, "\(port)"], input: ends[0], output: output,
      errors: output)
  }

  deinit {
    letGo()
    try? FileManager.default.removeItem(at: output)
  }

  /// Ends it; its port stays free as far as anyone knows.
  package func stop() async {
    letGo()
    _ = await child.ended()
  }

  private func letGo() {
    lifeline.withLock { end in
      if let descriptor = end { close(descriptor) }
      end = nil
    }
  }

  /// What it has got so far.
  package var spans: [ReceivedSpan] {
    get throws {
      try lines.filter { $0.hasPrefix("{") }.map { try JSONDecoder().decode(ReceivedSpan.self, from: Data($0.utf8)) }
    }
  }

  /// Whole ones.
  private var lines: [String] {
    guard let data = FileManager.default.contents(atPath: output.path) else { return [] }
    let parts = String(decoding: data, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
    return parts.dropLast().map(String.init)
  }
}

/// A span as the receiver has understood it.
package struct ReceivedSpan: Decodable, Sendable, Hashable {
  package var traceId: String
  package var spanId: String
  package var parentSpanId: String
  package var name: String
  /// 1 internal, 2 server, 3 client, 4 producer, 5 consumer.
  package var kind: Int
  package var startTimeUnixNano: String
  package var endTimeUnixNano: String
  package var attributes: [Attribute]
  package var events: [Event]
  package var status: Status?

  package struct Attribute: Decodable, Sendable, Hashable {
    package var key: String
    package var value: Value
  }

  package struct Value: Decodable, Sendable, Hashable {
    package var stringValue: String?
    package var intValue: String?
    package var doubleValue: Double?
    package var boolValue: Bool?

    package var text: String {
      stringValue ?? intValue ?? doubleValue.map { "\($0)" } ?? boolValue.map { "\($0)" } ?? ""
    }
  }

  package struct Event: Decodable, Sendable, Hashable {
    package var name: String
    package var attributes: [Attribute]
  }

  package struct Status: Decodable, Sendable, Hashable {
    package var code: Int
    package var message: String
  }

  package subscript(name: String) -> String? { attributes.first { $0.key == name }?.value.text }
}
