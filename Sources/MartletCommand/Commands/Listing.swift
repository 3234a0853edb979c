// Prints a list of tasks: as a table, or as the server's JSON. Used by `tasks list` and `dead-letters list`.

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
    Console.json(pages.count == 1 ? pages[0].json : joined(tasks, nextCursor: cursor))
  }

  static func joined(_ tasks: [RemoteTask], nextCursor: String?) -> [UInt8] {
    var writer = JSONWriter(capacity: tasks.count * 1024)
    writer.object { writer in
      writer.name("data")
      writer.array(of: tasks) { $0.raw($1.json) }
      writer.field("nextCursor", nextCursor)
    }
    return writer.bytes
  }
}
