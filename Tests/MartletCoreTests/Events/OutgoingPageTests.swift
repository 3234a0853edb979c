// What entries of the outbox become on their way out, and what a sink's verdicts mean for them.

import Foundation
import MartletCore
import Testing

@Suite struct OutgoingPageTests {
  private static let id = TaskID(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0001)
  private static let other = TaskID(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0002)
  private static let at = Timestamp(milliseconds: 1_769_940_000_000)

  private static func task(_ id: TaskID) -> TaskRecord {
    var task = AcceptedTask(
      id: id, type: "resize", queue: "images", payload: Array(#"{"a": 1.0}"#.utf8), priority: 7, eligible: .now,
      runAt: nil, retries: 1, backoff: RetryPolicy(), timeout: .seconds(60), lease: .seconds(30), expiresAt: nil,
      tags: ["t"], metadata: ["orderId": "4\"2"], traceparent: nil, replayOf: nil)
    task.scheduleName = "nightly"
    return TaskRecord(task, acceptedAt: at)
  }

  private static func story(_ id: TaskID, _ types: [TaskEventType]) -> TaskStory {
    let events = types.enumerated().map { TaskEvent(sequence: $0 + 1, type: $1, at: at, actor: "w") }
    let attempts = events.filter(\.type.tellsOfAttempt).map { ($0.sequence, 1) }
    return TaskStory(
      record: task(id), events: events, attempts: Dictionary(uniqueKeysWithValues: attempts),
      errors: [1: TaskError(type: "Busy", message: "later", stack: nil)])
  }

  private static func entry(_ number: Int64, _ id: TaskID, _ sequences: ClosedRange<Int>, tries: Int = 0) -> OutboxEntry
  {
    OutboxEntry(number: number, task: id, sequences: sequences, at: at, tries: tries)
  }

  private static func page(_ entries: [OutboxEntry], _ stories: [TaskStory]) -> OutgoingPage {
    let page = OutboxPage(
      entries: entries, stories: Dictionary(uniqueKeysWithValues: stories.map { ($0.record.id, $0) }))
    return OutgoingPage(page, deadLetters: [id: task(id)], source: "/martlet/x")
  }

  private static func object(_ bytes: [UInt8]) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
  }

  @Test func `each entry tells the events of its own transition and no other`() {
    let page = Self.page(
      [Self.entry(1, Self.id, 1...2), Self.entry(2, Self.other, 4...4), Self.entry(3, Self.id, 3...3)],
      [
        Self.story(Self.id, [.received, .ready, .started]),
        Self.story(Self.other, [.received, .ready, .started, .succeeded]),
      ])
    #expect(page.events.map(\.id) == ["\(Self.id).1", "\(Self.id).2", "\(Self.other).4", "\(Self.id).3"])
  }

  @Test func `an event is a CloudEvent whose data say what happened to which task`() throws {
    let event = Self.page(
      [Self.entry(1, Self.id, 4...4)], [Self.story(Self.id, [.received, .ready, .started, .failed])]
    )
    .events[0]
    let json = try Self.object(event.json(data: event.data))
    #expect(json["specversion"] as? String == "1.0")
    #expect(json["id"] as? String == "\(Self.id).4")
    #expect(json["source"] as? String == "/martlet/x")
    #expect(json["type"] as? String == "martlet.task.failed")
    #expect(json["subject"] as? String == Self.id.description)
    #expect(json["time"] as? String == "2026-02-01T10:00:00.000Z")
    #expect(json["sequence"] as? String == "0000000004")
    let data = try #require(json["data"] as? [String: Any])
    #expect(data["taskId"] as? String == Self.id.description)
    #expect(data["taskType"] as? String == "resize")
    #expect(data["queue"] as? String == "images")
    #expect(data["attempt"] as? Int == 1)
    #expect(data["metadata"] as? [String: String] == ["orderId": "4\"2"])
    #expect((data["error"] as? [String: String])?["message"] == "later")
    #expect(data["scheduleName"] as? String == "nightly")
    #expect(data["payload"] == nil)
    #expect(event.deadLetter == nil)
  }

  @Test func `a dead letter has the payload byte for byte, and only there`() throws {
    let event = Self.page(
      [Self.entry(1, Self.id, 5...5)],
      [
        Self.story(Self.id, [.received, .ready, .started, .failed, .dead])
      ]
    ).events[0]
    let letter = try #require(event.deadLetter)
    #expect(String(decoding: letter, as: UTF8.self).contains(#""payload":{"a": 1.0}"#))
    #expect(try Self.object(event.data)["payload"] == nil)
    #expect(try Self.object(event.data)["status"] as? String == "DEAD")
  }

  @Test func `what was delivered is done, and so is what has nothing to tell any more`() {
    let page = Self.page(
      [Self.entry(1, Self.id, 1...2), Self.entry(2, Self.other, 1...2)], [Self.story(Self.id, [.received, .ready])])
    let outcome = page.outcome([.delivered, .delivered])
    #expect(outcome.delivered == [1, 2])
    #expect(outcome.events == 2)
    #expect(outcome.trouble == nil)
    #expect(!outcome.isFailure)
  }

  @Test func `events of one task are told one after the other, those of many at once`() {
    let stories = [Self.story(Self.id, [.received, .ready, .started]), Self.story(Self.other, [.received, .ready])]
    let page = Self.page(
      [Self.entry(1, Self.id, 1...2), Self.entry(2, Self.other, 1...2), Self.entry(3, Self.id, 3...3)], stories)
    let waves = page.waves.map { wave in wave.map { page.events[$0].id } }
    #expect(waves == [["\(Self.id).1", "\(Self.other).1"], ["\(Self.id).2", "\(Self.other).2"], ["\(Self.id).3"]])
  }

  @Test func `an entry of which something failed or was not told stays`() {
    let stories = [Self.story(Self.id, [.received, .ready, .started]), Self.story(Self.other, [.received, .ready])]
    let page = Self.page(
      [Self.entry(1, Self.id, 1...2), Self.entry(2, Self.id, 3...3), Self.entry(3, Self.other, 1...2)], stories)
    let outcome = page.outcome([.delivered, .failed("no route"), nil, .delivered, .delivered])
    #expect(outcome.delivered == [3])
    #expect(outcome.events == 3)
    #expect(outcome.refused == [:])
    #expect(outcome.trouble == "no route")
    #expect(outcome.isFailure)
  }

  @Test func `a refusal puts off its entry alone, and says nothing against the sink`() {
    let stories = [Self.story(Self.id, [.received, .ready, .started]), Self.story(Self.other, [.received, .ready])]
    let page = Self.page(
      [Self.entry(1, Self.id, 1...2, tries: 3), Self.entry(2, Self.other, 1...2), Self.entry(4, Self.id, 3...3)],
      stories)
    let outcome = page.outcome([.refused("too large"), nil, .delivered, .delivered, nil])
    #expect(outcome.delivered == [2])
    #expect(outcome.refused == [1: 3])
    #expect(outcome.trouble == "too large")
    #expect(!outcome.isFailure)
  }

  @Test func `a page is cut before it has more dead letters than asked for`() {
    let dead: [TaskEventType] = [.received, .ready, .started, .failed, .dead]
    let page = OutboxPage(
      entries: [Self.entry(1, Self.id, 4...5), Self.entry(2, Self.other, 1...3), Self.entry(3, Self.other, 4...5)],
      stories: [Self.id: Self.story(Self.id, dead), Self.other: Self.story(Self.other, dead)])
    #expect(page.beginning(mostDeadLetters: 2) == page)
    #expect(page.beginning(mostDeadLetters: 1).entries.map(\.number) == [1, 2])
  }
}
