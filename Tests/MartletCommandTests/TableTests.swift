// Tables: aligned, cut to the terminal, coloured only on one, safe whatever is in them.

internal import Testing

@testable internal import MartletClient
@testable internal import MartletCommand

@Suite("Tables")
struct TableTests {
  private let table = {
    var table = Table(columns: [
      .init("NAME", shrinks: true), .init("COUNT", isNumber: true), .init("NOTE", shrinks: true),
    ])
    table.rows = [
      ["a", "1", "short"], ["日本", "100", ""], ["long name", "20", "a note that is longer than the others"],
    ]
    return table
  }()

  @Test("columns are aligned, numbers to the right, without space at the end of lines")
  func alignment() {
    #expect(
      table.rendered(for: .plain) == """
        NAME       COUNT  NOTE
        a              1  short
        日本         100
        long name     20  a note that is longer than the others
        """)
  }

  @Test("a narrow terminal cuts the widest column that may be cut")
  func narrow() {
    let rendered = table.rendered(for: Terminal(isTerminal: true, width: 40, hasColour: false))
    let lines = rendered.split(separator: "\n")
    #expect(lines.last == "long name     20  a note that is longer…")
    #expect(lines.allSatisfy { Plain.width(String($0)) <= 40 })
  }

  @Test("columns that must stay whole are not cut, however narrow it is")
  func tooNarrow() {
    let rendered = table.rendered(for: Terminal(isTerminal: true, width: 5, hasColour: false))
    #expect(rendered.contains("COUNT"))
    #expect(rendered.contains("long name"))
  }

  @Test("colours do not shift columns and only come where they are wanted")
  func colours() throws {
    let tasks = [try Fixtures.task(status: "SUCCESS"), try Fixtures.task(status: "DEAD")]
    let plain = TaskTable.tasks(tasks, for: .plain)
    let coloured = TaskTable.tasks(tasks, for: Terminal(isTerminal: true, width: 500, hasColour: true))
    #expect(!plain.contains("\u{1B}"))
    #expect(coloured.contains("\u{1B}[32mSUCCESS\u{1B}[0m"))
    let stripped = coloured.replacing(/\u{1B}\[[0-9]+m/, with: "")
    #expect(stripped == plain)
  }

  @Test("text of tasks cannot break out of its cell")
  func hostileCells() throws {
    let error = #","lastError":{"type":"E","message":"\u001b[2J\nfake row"}"#
    let rendered = TaskTable.tasks([try Fixtures.task(status: "DEAD", attempt: 4, error)], for: .plain)
    #expect(rendered.split(separator: "\n").count == 2)
    #expect(rendered.contains("E: \\u{1b}[2J\\nfake row"))
  }

  @Test("queues show every status, the oldest and the pace")
  func queues() throws {
    let queue = try QueueState(
      Fixtures.answer(
        #"{"name":"default","depth":{"READY":3,"DEAD":1},"oldestReadySeconds":75,"throughputPerSecond":1.5,"paused":true}"#
      ))
    let rendered = TaskTable.queues([queue], for: .plain)
    #expect(
      rendered.split(separator: "\n").last
        == "default        0      3        0      0        0     1          0    1 min 15 s         1.5  paused")
  }

  @Test("a queue's settings are one line that names what is limited")
  func queueSettings() throws {
    func line(_ settings: String) throws -> String {
      QueueSheet.settings(of: try QueueState(Fixtures.answer(#"{"name":"q","depth":{}"# + settings + "}")))
    }
    #expect(try line(#","concurrencyPerKey":1"#) == "1 per key")
    #expect(
      try line(#","paused":true,"concurrency":5,"ratePerSecond":2.5,"burst":10,"maxDepth":1000"#)
        == "paused, concurrency 5, any number per key, rate 2.5/s (burst 10), at most 1000 waiting")
  }

  @Test("a graph names what each task waits for")
  func graph() throws {
    let (first, second) = (Fixtures.id.description, "0190a7c4-5e1b-7cc3-98c4-dc0c0c070000")
    let graph = try RemoteGraph(
      Fixtures.answer(
        """
        {"id":"\(first)","tasks":[{"id":"\(first)","ref":"fetch","type":"a","status":"SUCCESS"},
        {"id":"\(second)","ref":null,"type":"b","status":"PENDING"}],"edges":[["\(first)","\(second)"]]}
        """))
    let lines = TaskTable.graph(graph, for: .plain).split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines[1].hasPrefix("\(first)  fetch"))
    #expect(lines[2].hasPrefix(second) && lines[2].hasSuffix("PENDING  fetch"))
  }
}
