// Runs the built program as its users do, against a scripted server.

internal import Foundation
internal import ScriptedServer

enum Program {
  struct Run {
    var status: Int32
    var output: String
    var errors: String
    var errorLines: [Substring] { errors.split(separator: "\n") }
  }

  static func run(
    _ arguments: [String], server: String, environment: [String: String] = [:], input: String = "",
    output pipe: FileHandle? = nil
  ) async throws -> Run {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    // Files instead of pipes: nobody has to drain them, so no output is too long.
    func file(_ name: String, _ text: String = "") throws -> URL {
      let url = folder.appendingPathComponent(name)
      try Data(text.utf8).write(to: url)
      return url
    }
    let (output, errors) = (try file("output"), try file("errors"))
    let process = Process()
    process.executableURL = try executable()
    process.arguments = arguments
    process.environment = ["MARTLET_SERVER": server].merging(environment) { $1 }
    let handles = [
      try FileHandle(forReadingFrom: file("input", input)), try pipe ?? FileHandle(forWritingTo: output),
      try FileHandle(forWritingTo: errors),
    ]
    // A process keeps them for ever, and whatever this one starts later inherits them: PostgreSQL refuses to start with a thousand.
    defer { for handle in handles where handle !== pipe { try? handle.close() } }
    (process.standardInput, process.standardOutput, process.standardError) = (handles[0], handles[1], handles[2])
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      process.terminationHandler = { _ in continuation.resume() }
      do { try process.run() } catch { continuation.resume(throwing: error) }
    }
    return Run(
      status: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
      output: try String(contentsOf: output, encoding: .utf8), errors: try String(contentsOf: errors, encoding: .utf8))
  }

  /// Runs it against a server that answers by `script`.
  static func run(
    _ arguments: [String], environment: [String: String] = [:], input: String = "",
    script: @escaping ScriptedServer.Script
  ) async throws -> (run: Run, requests: [ScriptedRequest]) {
    try await ScriptedServer.serving(script) { server in
      let run = try await run(arguments, server: server.address, environment: environment, input: input)
      return (run, server.requests)
    }
  }

  /// `martlet` stands beside the test program.
  static func executable() throws -> URL {
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let url = URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("martlet")
    guard FileManager.default.isExecutableFile(atPath: url.path) else { throw Missing(path: url.path) }
    return url
  }

  struct Missing: Error {
    var path: String
  }
}
