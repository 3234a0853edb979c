// Many clients that mean no good (Tests/Hostile/attack.py), and what they cost the server. For `HostileTests`.

internal import Foundation
internal import MartletCore
internal import Testing

/// A crowd of one kind, at work.
struct Attack: Sendable {
  let kind: String
  let count: Int
  private let program: Program

  private static let script = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Hostile/attack.py")

  /// - Parameter options: what the script takes for this kind.
  init(_ scene: Scene, on server: Server, _ kind: String, _ count: Int, _ options: String...) throws {
    self.kind = kind
    self.count = count
    let port = try #require(server.api.address.split(separator: ":").last)
    program = try scene.start(
      Tool.installed("python3"), [Self.script.path, String(port), kind, String(count)] + options)
  }

  /// What came of them, once all are over.
  struct Outcome: CustomStringConvertible {
    let json: JSONSlice

    func fact(_ name: String) -> Int { json["facts"]?[name]?.int ?? 0 }
    /// By status, and those that got no answer.
    var statuses: [String: Int] {
      Dictionary(uniqueKeysWithValues: (json["statuses"]?.members ?? []).map { ($0.name, $0.value.int ?? 0) })
    }
    var connected: Int { fact("connected") }
    var closedByServer: Int { fact("closed by the server") }
    var description: String { String(decoding: json.bytes, as: UTF8.self) }
  }

  /// Waits until all have a connection, as far as they get one; how many that are.
  @discardableResult
  func stands() async throws -> Int {
    let standing = try await eventually("\(count) clients (\(kind)) have knocked") { try said("standing") }
    return try #require(standing["standing"]?.int)
  }

  func outcome() async throws -> Outcome {
    let ending = try await program.ended(within: .seconds(900))
    guard ending == .exited(0), let line = try said("facts") else {
      throw Failed(description: "\(kind): \(ending), \(program.errors.suffix(2000))")
    }
    return Outcome(json: line)
  }

  private func said(_ field: String) throws -> JSONSlice? {
    if let ending = program.hasEnded, ending != .exited(0) {
      throw Failed(description: "\(kind): \(ending), \(program.errors.suffix(2000))")
    }
    for line in program.output.split(separator: "\n") {
      if let json = try? JSONScanner.scan(Array(line.utf8)), json[field] != nil { return json }
    }
    return nil
  }

  struct Failed: Error, CustomStringConvertible {
    let description: String
  }
}

/// What a process holds.
struct Holdings: Sendable {
  /// Memory that is in use, and the most that ever was (`VmRSS` and `VmHWM` of proc(5)).
  let megabytes: Int
  let peakMegabytes: Int
  /// Files and connections.
  let descriptors: Int

  init(_ server: Server) throws {
    let process = "/proc/\(server.program.processID)"
    let status = try String(contentsOfFile: process + "/status", encoding: .utf8)
    func kilobytes(_ name: String) throws -> Int {
      let line = try #require(status.split(separator: "\n").first { $0.hasPrefix(name + ":") })
      return try #require(line.split(separator: " ").compactMap { Int($0) }.first)
    }
    megabytes = try kilobytes("VmRSS") / 1024
    peakMegabytes = try kilobytes("VmHWM") / 1024
    descriptors = try FileManager.default.contentsOfDirectory(atPath: process + "/fd").count
  }
}
