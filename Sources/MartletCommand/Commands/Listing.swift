// Prints a list of tasks: as a table, or as the server's JSON. Used by `tasks list` and `dead-letters list`;
// other lists join their pages with it.

internal import MartletClient
internal import MartletCore

enum Listing {
  static func show(
    _ list: Call.List, _ filter: TaskFilter, limit: Int, json: Bool, _ client: MartletClient, empty: String
  ) async throws {
    var pages: [Answer] = []
    var tasks: [RemoteTask] = []
    var cursor: String?
    repeat {
      let call = Call.list(list, filter, limit: min(limit - tasks.count, 1000), cursor: cursor)
      let answer = try await client.answer(to: call)
      let page = try TaskListPage(answer)
      pages.append(answer)
      tasks += page.tasks
      cursor = page.nextCursor
    } while cursor != nil && tasks.count < limit
    guard json else {
      Console.out(tasks.isEmpty ? empty : TaskTable.tasks(tasks, for: .output))
      return
    }
    // One page passes through as it came; several are joined in the same form.
    Console.json(pages.count == 1 ? pages[0].json : joined(tasks.map(\.json), nextCursor: cursor))
  }

  /// One page of all elements, each as it came.
  static func joined(_ elements: [[UInt8]], nextCursor: String?) -> [UInt8] {
    var writer = JSONWriter(capacity: elements.reduce(64) { $0 + $1.count + 1 })
    writer.object { writer in
      writer.name("data")
      writer.array(of: elements) { $0.raw($1) }
      writer.field("nextCursor", nextCursor)
    }
    return writer.bytes
  }
}
