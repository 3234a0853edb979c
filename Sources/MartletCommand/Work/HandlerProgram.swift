// The program that `martlet work` runs for each task: found once, before any task is taken, and given the same environment each
// time but for what it is told of its task.

internal import Foundation
internal import MartletCore
internal import MartletEngine

struct HandlerProgram: Sendable {
  /// Where it is.
  let path: String
  /// As it was called, for its own eyes.
  let name: String
  let arguments: [String]
  /// What it inherits: nothing that is this worker's own, its credentials least of all.
  let environment: [String: String]

  private static let ownPrefix = "MARTLET_"

  /// - Parameter words: the program, by name or path, and its arguments.
  /// - Throws: there is no such program.
  init(_ words: [String], environment: [String: String]) throws(CommandFailure) {
    guard let name = words.first, !name.isEmpty else {
      throw CommandFailure(.usage, "the command to run is missing: put it behind --")
    }
    guard let path = Self.path(of: name, searching: environment["PATH"]) else {
      let reason = name.contains("/") && Self.exists(name) ? "cannot be executed" : "is not there"
      throw CommandFailure(.usage, "the command '\(name)' \(reason)")
    }
    self.path = path
    self.name = name
    arguments = Array(words.dropFirst())
    self.environment = environment.filter { name, _ in
      // A name that no program could have set would keep this one from starting.
      !name.hasPrefix(Self.ownPrefix) && !name.isEmpty && !name.contains("=") && name.first?.isNumber == false
    }
  }

  func environment(for context: AttemptContext) -> [String: String] {
    var all = environment
    all["MARTLET_TASK_ID"] = context.taskID.description
    all["MARTLET_TYPE"] = context.type
    all["MARTLET_ATTEMPT"] = String(context.attempt)
    all["MARTLET_MAX_ATTEMPTS"] = String(context.maxAttempts)
    all["MARTLET_QUEUE"] = context.queue
    all["MARTLET_TRACEPARENT"] = context.traceparent
    return all
  }

  private static func path(of name: String, searching path: String?) -> String? {
    if name.contains("/") { return isProgram(name) ? name : nil }
    let folders = (path ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":")
    return folders.lazy.map { "\($0)/\(name)" }.first(where: isProgram)
  }

  private static func isProgram(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
      && FileManager.default.isExecutableFile(atPath: path)
  }

  private static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
}
