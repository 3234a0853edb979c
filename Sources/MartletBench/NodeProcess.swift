// A node as a process of its own: the measuring process starts `martlet bench` once more, which works on the same schema until
// its standard input ends. It says "ran 4711" whenever it has got on, and at its end "late 0.53" for each stamped task.

internal import Foundation
internal import MartletCore
internal import Synchronization

extension Bench {
  /// The other side: what the started process does.
  package func runNode(schema: String) async throws {
    guard let url = options.database else { return }
    let store = try await Place.postgres(url: url, schema: schema).open()
    let meter = Meter()
    try await withEngine(store, handlers: [NoOp(meter: meter)]) { _ in
      let input = AsyncStream<Never> { end in
        Thread.detachNewThread {
          while !FileHandle.standardInput.availableData.isEmpty {}
          end.finish()
        }
      }
      let telling = Task {
        var told = 0
        while !Task.isCancelled {
          let ran = meter.ran
          if ran != told { Self.say("ran \(ran)\n") }
          told = ran
          try? await Task.sleep(for: .milliseconds(2))
        }
      }
      for await _ in input {}
      telling.cancel()
    }
    await store.close()
    Self.say(meter.latencies.map { "late \($0)\n" }.joined())
  }

  private static func say(_ text: String) {
    FileHandle.standardOutput.write(Data(text.utf8))
  }

  /// `count` nodes at work on the schema while `body` runs.
  func withNodes<Value>(
    _ count: Int, on place: Place, _ body: ([NodeProcess]) async throws -> Value
  ) async throws -> Value {
    guard let executable = options.executable, case .postgres(let url, let schema) = place else {
      throw StoreError.unusable("only PostgreSQL can be worked on by several processes")
    }
    let nodes = try (0..<count).map { _ in try NodeProcess(executable, ["--database", url, "--node", schema]) }
    let result: Result<Value, any Error>
    do { result = .success(try await body(nodes)) } catch { result = .failure(error) }
    for node in nodes { await node.stop() }
    return try result.get()
  }
}

final class NodeProcess: Sendable {
  private let process: Process
  private let input = Pipe()
  private let state = Mutex((ran: 0, latencies: [Double](), isOver: false))
  private let over: AsyncStream<Never>

  init(_ executable: String, _ arguments: [String]) throws {
    let output = Pipe()
    process = Process()
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = ["bench"] + arguments
    process.standardInput = input
    process.standardOutput = output
    let (over, end) = AsyncStream.makeStream(of: Never.self)
    self.over = over
    try process.run()
    Thread.detachNewThread { [self] in
      var rest = Data()
      while case let data = output.fileHandleForReading.availableData, !data.isEmpty {
        rest += data
        while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
          hear(String(decoding: rest[..<newline], as: UTF8.self))
          rest = Data(rest[newline...].dropFirst())
        }
      }
      state.withLock { $0.isOver = true }
      end.finish()
    }
  }

  private func hear(_ line: String) {
    let words = line.split(separator: " ")
    guard words.count == 2 else { return }
    state.withLock { state in
      switch words[0] {
      case "ran": state.ran = Int(words[1]) ?? state.ran
      case "late": if let latency = Double(words[1]) { state.latencies.append(latency) }
      default: break
      }
    }
  }

  /// - Throws: if it is no more, for whatever reason; its own message is on standard error.
  func ran() throws -> Int {
    let (ran, isOver) = state.withLock { ($0.ran, $0.isOver) }
    if isOver { throw StoreError.unavailable("a node ended before its time") }
    return ran
  }

  /// After `stop`.
  var latencies: [Double] { state.withLock(\.latencies) }

  /// The most memory it had at any time.
  var peakMegabytes: Double? { Bench.megabytes(of: process.processIdentifier, "VmHWM:") }

  func stop() async {
    try? input.fileHandleForWriting.close()
    for await _ in over {}
    process.waitUntilExit()
  }
}
