// A program started as a process. Its output goes to files: nobody has to drain them, so no output is too long.

internal import Foundation
internal import Synchronization

/// How a process ended.
enum Ending: Sendable, Equatable {
  case exited(Int32)
  case killed(Int32)
}

final class Program: Sendable {
  let name: String
  private let process: Process
  private let outputFile: URL
  private let errorFile: URL
  private let ending = Mutex<Ending?>(nil)

  /// - Parameters:
  ///   - environment: all of it, but for PATH and HOME.
  ///   - folder: its working directory.
  ///   - files: where to keep its output.
  init(
    _ executable: URL, _ arguments: [String], environment: [String: String], folder: URL, files: URL
  ) throws {
    func file(_ name: String) throws -> URL {
      let url = files.appendingPathComponent("\(UUID()).\(name)")
      try Data().write(to: url)
      return url
    }
    name = executable.lastPathComponent
    outputFile = try file("out")
    errorFile = try file("err")
    let inherited = ProcessInfo.processInfo.environment.filter { ["PATH", "HOME"].contains($0.key) }
    process = Process()
    process.executableURL = executable
    process.arguments = arguments
    // A crash shall end the process at once: Swift's backtracer would keep it.
    process.environment = inherited.merging(["SWIFT_BACKTRACE": "enable=no"]) { $1 }.merging(environment) { $1 }
    process.currentDirectoryURL = folder
    process.standardInput = FileHandle.nullDevice
    // The program has its own then: hundreds of programs' files would stay open here.
    let files = [try FileHandle(forWritingTo: outputFile), try FileHandle(forWritingTo: errorFile)]
    defer { for file in files { try? file.close() } }
    (process.standardOutput, process.standardError) = (files[0], files[1])
    process.terminationHandler = { [self] process in
      ending.withLock {
        $0 =
          process.terminationReason == .exit ? .exited(process.terminationStatus) : .killed(process.terminationStatus)
      }
    }
    try process.run()
  }

  var processID: Int32 { process.processIdentifier }
  var output: String { text(of: outputFile) }
  var errors: String { text(of: errorFile) }
  var errorLines: [String] { errors.split(separator: "\n").map(String.init) }

  /// Nil while it runs.
  var hasEnded: Ending? { ending.withLock(\.self) }

  func ended(within limit: Duration = .seconds(300)) async throws -> Ending {
    try await eventually("\(name) ends", within: limit) { hasEnded }
  }

  func signal(_ number: Int32) {
    if hasEnded == nil { kill(process.processIdentifier, number) }
  }

  private func text(of file: URL) -> String {
    String(decoding: FileManager.default.contents(atPath: file.path) ?? Data(), as: UTF8.self)
  }
}

enum Tool {
  /// A program of this package; they all stand beside the test program.
  static func built(_ name: String) throws -> URL {
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    return try executable(URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent(name))
  }

  /// A program of the system.
  static func installed(_ name: String) throws -> URL {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    for folder in path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"] {
      let url = URL(fileURLWithPath: folder).appendingPathComponent(name)
      if FileManager.default.isExecutableFile(atPath: url.path) { return url }
    }
    throw Missing(what: "\(name) (scripts/setup --test installs it)")
  }

  private static func executable(_ url: URL) throws -> URL {
    guard FileManager.default.isExecutableFile(atPath: url.path) else { throw Missing(what: url.path) }
    return url
  }

  struct Missing: Error, CustomStringConvertible {
    let what: String
    var description: String { "a program is missing: \(what)" }
  }
}
