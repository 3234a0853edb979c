// `martlet export`: tasks with all that is known of them, a line of JSON each, by the API alone. What an archive is made of before
// retention takes them.

internal import ArgumentParser
internal import Foundation
internal import MartletClient
internal import MartletCore

struct ExportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Write tasks with their histories as newline-delimited JSON.",
    discussion: """
      Each line is a task as the API tells it, with payload and result, and with its attempts (and their log lines) and events. \
      Newest first; tasks that are submitted while it runs are not among them. It needs the role viewer.

      With --output the file is brought to the disk as it grows, and FILE.cursor beside it says how far; an export that was cut \
      short, by whatever, goes on with --resume. At the end FILE.cursor is removed.
      """)

  @Option(help: ArgumentHelp("Write to this file, which must not exist yet.", valueName: "file"))
  var output: String?

  @Flag(help: "Go on with the --output of an export that was cut short.")
  var resume = false

  @Option(help: "Only these statuses (A,B); may be repeated.", transform: Values.statuses)
  var status: [Set<TaskStatus>] = []

  @OptionGroup var filter: FilterOptions
  @OptionGroup var server: ServerOptions

  /// Of a server that restarts, or is being upgraded.
  private static let patience = Duration.seconds(60)

  func validate() throws {
    if resume, output == nil { throw ValidationError("--resume goes on with a file: name it by --output") }
    if output == "" { throw ValidationError("--output is empty") }
  }

  func run() async throws {
    var filter = try filter.filter(statuses: status)
    filter.includesPayload = true
    filter.includesResult = true
    let place = try place(for: filter)
    let result: Result<ExportSummary, any Error>
    do {
      result = .success(
        try await server.withClient(patience: Self.patience) { client in
          try await Export(client: client, filter: filter).run(into: place)
        })
    } catch {
      result = .failure(error)
    }
    await place.close()
    do {
      let summary = try result.get()
      var line = "exported \(summary.tasks) task\(summary.tasks == 1 ? "" : "s")"
      if summary.vanished > 0 {
        line += "; \(summary.vanished) were deleted meanwhile and have no history (attempts and events are null)"
      }
      Console.error(line)
    } catch let failure as ExportFailure {
      throw CommandFailure(.failed, failure.message)
    } catch {
      if output != nil { Console.error("martlet: what is written is kept: --resume goes on with it") }
      throw error
    }
  }

  private func place(for filter: TaskFilter) throws(CommandFailure) -> ExportPlace {
    do throws(ExportFailure) {
      guard let output else { return .standardOutput() }
      let asked = Export.text(of: filter)
      return resume ? try .resuming(output, filter: asked) : try .beginning(output, filter: asked)
    } catch {
      throw CommandFailure(error.isUsage ? .usage : .failed, error.message)
    }
  }
}

struct ExportSummary: Sendable, Equatable {
  /// With those of the export that this one goes on with.
  var tasks = 0
  /// Gone between the list and their history.
  var vanished = 0
}

/// Page by page from the server to a place.
struct Export: Sendable {
  let client: MartletClient
  let filter: TaskFilter

  /// Tasks of a page: with the longest payloads and results an answer stays below what a client takes.
  private static let pageSize = 100
  /// Histories that are asked for at once.
  private static let atOnce = 8

  func run(into place: ExportPlace) async throws -> ExportSummary {
    var summary = ExportSummary(tasks: place.tasks)
    var cursor = place.cursor
    while true {
      let page = try JSONScanner.scan(
        try await client.answer(to: .list(.tasks, filter, limit: Self.pageSize, cursor: cursor)).json)
      guard let tasks = page["data"]?.elements else {
        throw MartletClientError.unexpectedAnswer(server: client.server, reason: "'data' is missing")
      }
      let lines = try await lines(of: tasks)
      summary.tasks += lines.count
      summary.vanished += lines.count { !$0.hasHistory }
      let next = page["nextCursor"]?.string
      try await place.append(lines.flatMap(\.bytes), tasks: lines.count, cursor: next)
      guard let next else { break }
      guard next != cursor else {
        throw MartletClientError.unexpectedAnswer(server: client.server, reason: "the list's nextCursor does not move")
      }
      cursor = next
    }
    try await place.finish()
    return summary
  }

  /// How a resumed export knows that it is the same.
  static func text(of filter: TaskFilter) -> String {
    Call.list(.tasks, filter, limit: 1, cursor: nil).writtenQuery
  }

  private struct Line: Sendable {
    var bytes: [UInt8]
    var hasHistory: Bool
  }

  private func lines(of tasks: [JSONSlice]) async throws -> [Line] {
    try await withThrowingTaskGroup(of: (Int, Line).self) { group in
      var lines = [Line?](repeating: nil, count: tasks.count)
      for (index, task) in tasks.enumerated() {
        if index >= Self.atOnce, let (place, line) = try await group.next() { lines[place] = line }
        group.addTask { (index, try await line(of: task)) }
      }
      for try await (place, line) in group { lines[place] = line }
      return lines.compactMap(\.self)
    }
  }

  private func line(of task: JSONSlice) async throws -> Line {
    guard let id = task["id"]?.string.flatMap(TaskID.init) else {
      throw MartletClientError.unexpectedAnswer(server: client.server, reason: "a task has no id")
    }
    async let attempts = history(.attempts(id))
    async let events = history(.events(id))
    let (told, happened) = try await (attempts, events)
    // A client's own line breaks, between the parts of its payload, would end the line.
    var bytes = task.bytes.map { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") ? UInt8(ascii: " ") : $0 }
    bytes.removeLast()
    bytes += Array(",\"attempts\":".utf8) + (told ?? Array("null".utf8))
    bytes += Array(",\"events\":".utf8) + (happened ?? Array("null".utf8)) + Array("}\n".utf8)
    return Line(bytes: bytes, hasHistory: told != nil && happened != nil)
  }

  /// All of it; nil where the task is gone.
  private func history(_ call: Call) async throws -> [UInt8]? {
    do {
      let whole = try await client.whole(call)
      return try JSONScanner.scan(whole.json)["data"]?.bytes
    } catch let error as MartletClientError {
      guard case .problem(let problem) = error, problem.status == 404 else { throw error }
      return nil
    }
  }
}
