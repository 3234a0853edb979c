// A server that gives out leases by script, and `martlet work` as a process that can be signalled.

internal import Foundation
internal import MartletCore
internal import ScriptedServer
internal import Synchronization

enum Leases {
  static func id(_ number: Int) -> LeaseID {
    LeaseID(task: TaskID(high: UInt64(number) << 16 | 0x7000, low: 1 << 63), attempt: 1, token: 7)
  }

  static func lease(
    _ number: Int, payload: String = "{}", seconds: Double = 30, expiresIn: Double? = nil, timeout: Double = 300,
    trace: String = "null"
  ) -> String {
    """
    {"leaseId":"\(id(number))","attempt":1,"expiresAt":"2026-02-01T10:00:30.000Z","expiresInSeconds":\(expiresIn ?? seconds),\
    "task":{"id":"\(id(number).task)","type":"resize","queue":"images","status":"RUNNING","priority":5,\
    "payload":\(payload),"attempt":1,"maxAttempts":4,"timeoutSeconds":\(timeout),"leaseSeconds":\(seconds),\
    "createdAt":"2026-02-01T09:00:00.000Z","availableAt":"2026-02-01T09:30:00.000Z",\
    "startedAt":"2026-02-01T10:00:00.000Z","tags":[],"metadata":{},"traceparent":\(trace)}}
    """
  }
}

/// Gives out leases and takes reports. When all have been reported or lost, it refuses whoever asks for more, and so ends
/// the worker.
final class Office: Sendable {
  private let leases: [String]
  private let renewal: @Sendable () -> String
  private let endsItself: Bool
  private let state = Mutex(State())

  private struct State {
    var given = 0
    var ended = 0
    var reports: [String: JSONSlice] = [:]
    var requests: [ScriptedRequest] = []
  }

  init(_ leases: [String], renewal: @escaping @autoclosure @Sendable () -> String = "RENEWED", endsItself: Bool = true)
  {
    self.leases = leases
    self.renewal = renewal
    self.endsItself = endsItself
  }

  var requests: [ScriptedRequest] { state.withLock(\.requests) }
  func slice(_ number: Int) -> JSONSlice? { state.withLock { $0.reports[Leases.id(number).description] } }
  func report(_ number: Int) -> String? { slice(number).map { String(decoding: $0.bytes, as: UTF8.self) } }
  func text(_ number: Int) -> String? { slice(number)?["result"]?.string }
  func result(_ number: Int) -> String? {
    slice(number)?["result"].map { String(decoding: $0.bytes, as: UTF8.self) }
  }

  func work(
    _ command: [String], options: [String] = [], environment: [String: String] = [:]
  ) async throws -> Program.Run {
    try await Program.run(
      ["work", "--type", "resize"] + options + ["--"] + command, environment: environment, script: answer
    ).run
  }

  /// While `body` runs; it has to end it.
  func working(
    _ command: [String], options: [String] = [], _ body: (WorkingProgram) async throws -> Void
  ) async throws {
    try await ScriptedServer.serving(answer) { server in
      let program = try WorkingProgram(
        ["work", "--type", "resize", "--server", server.address] + options + ["--"] + command)
      defer { program.clear() }
      try await body(program)
    }
  }

  @Sendable private func answer(_ request: ScriptedRequest, _ number: Int) -> ScriptedAnswer {
    let root = try? JSONScanner.scan(request.body, maxDepth: 128)
    return state.withLock { state in
      state.requests.append(request)
      switch request.path {
      case "/leases":
        if endsItself, state.ended == leases.count { return .problem(403, #"{"detail":"enough"}"#) }
        defer { state.given += 1 }
        let given = state.given < leases.count ? leases[state.given] : ""
        return .json(200, #"{"heldSeconds":0,"leases":[\#(given)]}"#)
      case "/leases/renew":
        let entries = root?["leases"]?.elements ?? []
        let renewal = renewal()
        if renewal == "LOST" { state.ended += entries.count }
        let data = entries.map { entry in
          #"{"leaseId":"\#(entry["leaseId"]?.string ?? "")","state":"\#(renewal)","expiresAt":"2026-02-01T10:01:00Z","expiresInSeconds":30}"#
        }
        return .json(200, #"{"data":[\#(data.joined(separator: ","))]}"#)
      default:
        let data = (root?["results"]?.elements ?? []).map { result in
          let lease = result["leaseId"]?.string ?? ""
          state.reports[lease] = result
          state.ended += 1
          return #"{"leaseId":"\#(lease)","state":"APPLIED","task":{"id":"\#(lease.prefix(36))","status":"SUCCESS"}}"#
        }
        return .json(200, #"{"data":[\#(data.joined(separator: ","))]}"#)
      }
    }
  }
}

// MARK: Programs and files

/// `martlet` while it runs.
final class WorkingProgram: Sendable {
  private let process = Process()
  private let folder: Folder
  private let ended: AsyncStream<Int32>

  init(_ arguments: [String]) throws {
    folder = try Folder()
    folder.make("errors")
    process.executableURL = try Program.executable()
    process.arguments = arguments
    process.environment = ["PATH": "/usr/bin:/bin"]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: folder.file("errors")))
    let (ended, end) = AsyncStream<Int32>.makeStream()
    self.ended = ended
    process.terminationHandler = {
      end.yield($0.terminationReason == .exit ? $0.terminationStatus : -$0.terminationStatus)
      end.finish()
    }
    try process.run()
  }

  var errors: String { folder.text("errors") }
  var hasEnded: Bool { !process.isRunning }
  func signal(_ number: Int32) { if process.isRunning { kill(process.processIdentifier, number) } }
  var status: Int32? { get async { await ended.first { _ in true } } }

  func clear() {
    signal(SIGKILL)
    folder.remove()
  }
}

struct Folder: Sendable {
  private let url = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())")

  init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }

  func file(_ name: String) -> String { url.appendingPathComponent(name).path }
  func has(_ name: String) -> Bool { FileManager.default.fileExists(atPath: file(name)) }
  func make(_ name: String) { _ = FileManager.default.createFile(atPath: file(name), contents: nil) }
  func remove() { try? FileManager.default.removeItem(at: url) }

  /// Without white space around it.
  func text(_ name: String) -> String {
    let data = FileManager.default.contents(atPath: file(name)) ?? Data()
    return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
  }
}

/// Asks until it is so; a test that hangs here is ended by its own limit.
func until(_ condition: () -> Bool) async {
  while !condition() { try? await Task.sleep(for: .milliseconds(10)) }
}

/// A process that was killed is gone as soon as the system has taken note of it; one that waits for its parent counts as gone.
func isGone(_ process: Int) async -> Bool {
  for _ in 0..<6000 {
    guard kill(pid_t(process), 0) == 0 else { return true }
    let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
    if stat.map({ $0.contains(") Z ") }) ?? true { return true }
    try? await Task.sleep(for: .milliseconds(10))
  }
  return false
}
