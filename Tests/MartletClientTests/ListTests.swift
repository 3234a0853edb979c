// Lists as sequences: page by page, until the server says that it is over.

internal import MartletClient
internal import ScriptedServer
internal import Testing

@Suite("Lists")
struct ListTests {
  @Test("all tasks are read page by page, through empty pages")
  func pages() async throws {
    let pages = [
      #"{"data":[\#(Fixtures.task()),\#(Fixtures.task())],"nextCursor":"one"}"#,
      #"{"data":[],"nextCursor":"two"}"#,
      #"{"data":[\#(Fixtures.task())],"nextCursor":null}"#,
    ]
    try await withClient(script: { _, number in .json(200, pages[number]) }) { client, server in
      var count = 0
      for try await task in client.tasks(pageSize: 2) {
        #expect(task.id == Fixtures.id)
        count += 1
      }
      #expect(count == 3)
      #expect(
        server.requests.map(\.target) == [
          "/tasks?limit=2", "/tasks?limit=2&cursor=one", "/tasks?limit=2&cursor=two",
        ])
    }
  }

  @Test("dead letters have a list of their own")
  func deadLetters() async throws {
    try await withClient(script: { _, _ in .json(200, #"{"data":[],"nextCursor":null}"#) }) { client, server in
      var filter = TaskFilter()
      filter.queues = ["images"]
      for try await page in client.deadLetters(filter).pages { #expect(page.tasks.isEmpty) }
      #expect(server.requests.map(\.target) == ["/dead-letters?queue=images&limit=200"])
    }
  }

  @Test("a cursor that does not move ends the list with an error, not in a loop")
  func stuckCursor() async throws {
    try await withClient(script: { _, _ in .json(200, #"{"data":[],"nextCursor":"same"}"#) }) { client, server in
      await #expect(throws: MartletClientError.self) {
        for try await _ in client.tasks() {}
      }
      #expect(server.requests.count == 2)
    }
  }
}
