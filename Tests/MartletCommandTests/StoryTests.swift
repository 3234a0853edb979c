// Following a task: each thing is told once, in order, with errors and log lines where they belong.

internal import Testing

@testable internal import MartletCommand

@Suite("Following a task")
struct StoryTests {
  private let events = [
    Fixtures.event(1, "received"), Fixtures.event(2, "ready"),
    Fixtures.event(3, "started", "node-1", cause: "attempt 1"),
    Fixtures.event(4, "failed", "node-1", cause: "HTTP_503"), Fixtures.event(5, "retry", "node-1"),
    Fixtures.event(6, "ready", "scheduler"), Fixtures.event(7, "started", "node-1"),
    Fixtures.event(8, "succeeded", "node-1"),
  ]
  private let failed = Fixtures.attempt(
    1, "FAILED", error: #"{"type":"HTTP_503","message":"no\u001b[2J","stack":"at a\nat b"}"#, logs: #"["info: one"]"#)

  @Test("what happened is told once, in order, and the end with the result")
  func wholeStory() throws {
    var story = TaskStory()
    let first = story.lines(
      try Fixtures.task(status: "RETRY", attempt: 1, #","availableAt":"2026-02-01T10:00:09.000Z""#),
      events: try Fixtures.events(Array(events.prefix(5))), attempts: try Fixtures.attempts([failed]))
    #expect(
      first == [
        "2026-02-01T10:00:01.000Z  received  resize in queue default",
        "2026-02-01T10:00:02.000Z  ready",
        "2026-02-01T10:00:03.000Z  started   attempt 1 on node-1",
        "2026-02-01T10:00:04.000Z  failed    attempt 1 FAILED",
        "    HTTP_503: no\\u{1b}[2J",
        "      at a",
        "      at b",
        "    | info: one",
        "2026-02-01T10:00:05.000Z  retry     next attempt at 2026-02-01T10:00:09.000Z",
      ])
    let end = try Fixtures.task(status: "SUCCESS", attempt: 2, #","result":{"n": 1}"#)
    let attempts = try Fixtures.attempts([failed, Fixtures.attempt(2, "SUCCESS", logs: #"["info: two"]"#)])
    let second = story.lines(end, events: try Fixtures.events(events), attempts: attempts)
    #expect(
      second == [
        "2026-02-01T10:00:06.000Z  ready",
        "2026-02-01T10:00:07.000Z  started   attempt 2 on node-1",
        "2026-02-01T10:00:08.000Z  succeeded attempt 2 SUCCESS",
        "    | info: two",
        "SUCCESS after 2 attempts",
        #"result {"n": 1}"#,
      ])
    #expect(story.lines(end, events: try Fixtures.events(events), attempts: attempts).isEmpty)
  }

  @Test("a task that waits for its time says which")
  func pending() throws {
    var story = TaskStory()
    let task = try Fixtures.task(status: "PENDING", #","availableAt":"2026-02-01T12:00:00.000Z""#)
    #expect(
      story.lines(task, events: try Fixtures.events([events[0]]), attempts: []) == [
        "2026-02-01T10:00:01.000Z  received  resize in queue default due at 2026-02-01T12:00:00.000Z"
      ])
  }

  @Test("progress is told when it changes")
  func progress() throws {
    var story = TaskStory()
    func look(_ percent: String) throws -> [String] {
      let progress = #","progress":{"percent":\#(percent),"message":"page\n2"}"#
      let task = try Fixtures.task(status: "RUNNING", attempt: 1, progress)
      return story.lines(task, events: [], attempts: [])
    }
    #expect(try look("40.5") == ["2026-02-01T10:00:01.000Z  progress  40.5 %  page\\n2"])
    #expect(story.endsWithProgress)
    #expect(try look("40.5").isEmpty)
    #expect(!story.endsWithProgress)
    #expect(try look("41").count == 1)
  }

  @Test("a dead task's last error is told though no event spoke of its attempt")
  func leftOver() throws {
    var story = TaskStory(label: "x")
    let task = try Fixtures.task(status: "DEAD", attempt: 1, #","reason":"NON_RETRYABLE""#)
    let lines = story.lines(task, events: [], attempts: try Fixtures.attempts([failed]))
    #expect(lines.first == "x      HTTP_503: no\\u{1b}[2J")
    #expect(lines.last == "x  DEAD (NON_RETRYABLE) after 1 attempt")
  }

  @Test("the sheet of a task holds its fields, attempts with errors and logs, and events")
  func sheet() throws {
    let more = """
      ,"worker":"node-1","payload":{"u":"\\u001b"},"tags":["a","b"],"metadata":{"k":"v"},"reason":"RETRIES_EXHAUSTED",\
      "lastError":{"type":"HTTP_503","message":"no\\nsecond"}
      """
    let sheet = TaskSheet.rendered(
      try Fixtures.task(status: "DEAD", attempt: 1, more),
      attempts: try Fixtures.attempts([failed, Fixtures.attempt(2, nil)]),
      events: try Fixtures.events(Array(events.prefix(2))), for: .plain)
    #expect(
      sheet == """
        id            0190a7c4-5e1b-7cc3-98c4-dc0c0c07398f
        type          resize
        queue         default
        status        DEAD (RETRIES_EXHAUSTED)
        priority      5
        attempt       1 of 4, 3 retries left
        worker        node-1
        created       2026-02-01T10:00:00.000Z
        tags          a, b
        metadata      k=v
        payload       {"u":"\\u001b"}
        last error    HTTP_503: no\\nsecond

        Attempts
          #1 FAILED  2026-02-01T10:00:00.000Z  took 1.25 s  on node-1
             HTTP_503: no\\u{1b}[2J
               at a
               at b
             | info: one
          #2 RUNNING  2026-02-01T10:00:00.000Z  on node-1

        Events
          #  AT                        EVENT     BY   CAUSE
          1  2026-02-01T10:00:01.000Z  received  api
          2  2026-02-01T10:00:02.000Z  ready     api
        """)
  }

  @Test("the sheet tells of keys, graphs, dependencies, timeout and backoff")
  func connected() throws {
    let more = """
      ,"graphId":"\(Fixtures.id)","ref":"pack","dependencies":["\(Fixtures.id)"],"onDependencyFailure":"CANCEL",\
      "idempotencyKey":"order-42","concurrencyKey":"customer-7","timeoutSeconds":300,"leaseSeconds":30,\
      "backoff":{"strategy":"exponential","baseSeconds":1,"factor":2,"maxSeconds":3600,"jitter":0.2}
      """
    let sheet = TaskSheet.rendered(try Fixtures.task(more), attempts: [], events: [], for: .plain)
    for line in [
      "attempt       0 of 4, 4 retries left", "timeout       5 min",
      "backoff       exponential:base=1s,max=3600s,factor=2,jitter=0.2", "key           order-42",
      "concurrency   key customer-7", "graph         \(Fixtures.id), as pack", "depends on    \(Fixtures.id)",
      "if one fails  CANCEL",
    ] {
      #expect(sheet.contains("\n\(line)\n"), "\(sheet)")
    }
    let ids = Array(repeating: "\"\(Fixtures.id)\"", count: 25).joined(separator: ",")
    let many = TaskSheet.rendered(
      try Fixtures.task(#","dependencies":[\#(ids)]"#), attempts: [], events: [], for: .plain)
    #expect(many.split(separator: "\n").count { $0.hasPrefix("depends on    ") } == 21)
    #expect(many.contains("\ndepends on    5 more, see --json\n"))
  }

  @Test("a result that was left out for its size is told of, by the sheet and by the story")
  func leftOut() throws {
    let task = try Fixtures.task(status: "SUCCESS", attempt: 1, #","result":null,"resultTruncated":true"#)
    let sheet = TaskSheet.rendered(task, attempts: [], events: [], for: .plain)
    #expect(sheet.contains("\nresult        left out: over 256 KiB\n"))
    var story = TaskStory()
    #expect(story.lines(task, events: [], attempts: []).last == "result left out: over 256 KiB")
  }

  @Test("a long payload is cut and says so")
  func longPayload() {
    #expect(TaskSheet.shortened(Array(repeating: 0x31, count: 10), to: 4) == "1111… (10 bytes, see --json)")
  }
}
