// What a submission may say: every limit at both of its edges, every fault at its own pointer and all of them at
// once, and what an accepted one becomes.

import MartletCore
import Testing

private let now = Timestamp(milliseconds: 1_800_000_000_000)
private let id = TaskID(high: 1, low: 2)

private func accepted(
  _ task: NewTask, _ defaults: TaskDefaults = TaskDefaults()
) throws(ValidationFailure) -> AcceptedTask {
  try task.accepted(id: id, defaults: defaults, now: now)
}

private func failure(of task: NewTask, _ defaults: TaskDefaults = TaskDefaults()) -> ValidationFailure? {
  do {
    _ = try accepted(task, defaults)
    return nil
  } catch {
    return error
  }
}

/// Where the faults are; none if the task is accepted.
private func faults(_ task: NewTask) -> [String] {
  failure(of: task)?.problems.map(\.pointer) ?? []
}

private func task(_ change: (inout NewTask) -> Void) -> NewTask {
  var task = NewTask(type: "email.send")
  change(&task)
  return task
}

/// A number of a submission and the range it may have.
private struct Limit: Sendable, CustomTestStringConvertible {
  var pointer: String
  var range: ClosedRange<Double>
  /// The step to the first number outside of the range.
  var step: Double
  var set: @Sendable (inout NewTask, Double) -> Void
  var testDescription: String { pointer }

  func task(_ value: Double) -> NewTask {
    var task = NewTask(type: "email.send")
    set(&task, value)
    return task
  }
}

private func backoffLimit(
  _ name: String, _ range: ClosedRange<Double>, _ set: @escaping @Sendable (inout NewTask.Backoff, Double) -> Void
) -> Limit {
  Limit(pointer: "/backoff/\(name)", range: range, step: 0.001) { task, value in
    var backoff = task.backoff ?? NewTask.Backoff()
    set(&backoff, value)
    task.backoff = backoff
  }
}

private let century: Double = 100 * 365.25 * 86_400

private let wholeLimits = [
  Limit(pointer: "/priority", range: 1...9, step: 1) { $0.priority = Int($1) },
  Limit(pointer: "/retries", range: 0...100, step: 1) { $0.retries = Int($1) },
]
private let fractionLimits = [
  Limit(pointer: "/delaySeconds", range: 0...century, step: 0.001) { $0.delaySeconds = $1 },
  Limit(pointer: "/timeoutSeconds", range: 0.001...604_800, step: 0.0001) { $0.timeoutSeconds = $1 },
  Limit(pointer: "/leaseSeconds", range: 1...3600, step: 0.001) { $0.leaseSeconds = $1 },
  backoffLimit("baseSeconds", 0...century) { $0.baseSeconds = $1 },
  backoffLimit("factor", 1...1000) { $0.factor = $1 },
  backoffLimit("maxSeconds", 0...century) { $0.maxSeconds = $1 },
  backoffLimit("jitter", 0...1) { $0.jitter = $1 },
]

/// Each is no name, for the reason it shows.
private let badNames = [
  "", " ", "a b", "a/b", "a\0b", "a\n", "a\r\nb", "\u{202E}abc", "\u{FEFF}abc", "é", "e\u{301}", "😀", "\u{212A}", "*",
  "a,b", "a%b", "\u{661}", String(repeating: "a", count: 129), String(repeating: "a", count: 100_000),
]

private let badTexts = ["a\0b", "\n", "a\tb", "a\r\nb", "\u{1B}[2J", "\u{7F}", "\u{85}", "\u{9F}"]

@Suite struct NewTaskTests {
  @Test func `only a type is required, and the rest is filled in`() throws {
    let task = try accepted(NewTask(type: "email.send"))
    #expect(
      task
        == AcceptedTask(
          id: id, type: "email.send", queue: "default", payload: Array("{}".utf8), priority: 5, eligible: .now,
          runAt: nil, retries: 3, backoff: RetryPolicy(), timeout: .seconds(300), lease: .seconds(30), expiresAt: nil,
          tags: [], metadata: [:], traceparent: nil, replayOf: nil))
  }

  @Test func `what the client leaves out comes from the installation's defaults`() throws {
    var defaults = TaskDefaults()
    defaults.retries = 7
    defaults.timeout = .seconds(8)
    defaults.lease = .seconds(9)
    defaults.backoff = RetryPolicy(strategy: .fixed, baseSeconds: 1, factor: 2, maxSeconds: 3, jitter: 0.5)
    let task = try accepted(NewTask(type: "t"), defaults)
    #expect(task.retries == 7)
    #expect(task.timeout == .seconds(8))
    #expect(task.lease == .seconds(9))
    #expect(task.backoff == defaults.backoff)
  }

  @Test func `what the client gives is kept`() throws {
    var new = NewTask(type: "t", payload: Array("[1, 2]".utf8))
    new.queue = "q"
    new.priority = 9
    new.runAt = now + .seconds(60)
    new.retries = 0
    new.timeoutSeconds = 1.5
    new.leaseSeconds = 2
    new.expiresAt = now + .seconds(90)
    new.tags = ["a", "b", "a"]
    new.metadata = ["k": "v"]
    new.traceparent = "00-x"
    #expect(
      try accepted(new)
        == AcceptedTask(
          id: id, type: "t", queue: "q", payload: Array("[1, 2]".utf8), priority: 9, eligible: .at(now + .seconds(60)),
          runAt: now + .seconds(60), retries: 0, backoff: RetryPolicy(), timeout: .milliseconds(1500),
          lease: .seconds(2), expiresAt: now + .seconds(90), tags: ["a", "b", "a"], metadata: ["k": "v"],
          traceparent: "00-x", replayOf: nil))
  }

  @Test func `a backoff given in part takes the rest from the defaults`() throws {
    var defaults = TaskDefaults()
    defaults.backoff = RetryPolicy(strategy: .linear, baseSeconds: 11, factor: 12, maxSeconds: 13, jitter: 0.14)
    func backoff(_ change: (inout NewTask.Backoff) -> Void) throws -> RetryPolicy {
      var backoff = NewTask.Backoff()
      change(&backoff)
      return try accepted(task { $0.backoff = backoff }, defaults).backoff
    }
    func with(_ change: (inout RetryPolicy) -> Void) -> RetryPolicy {
      var policy = defaults.backoff
      change(&policy)
      return policy
    }
    #expect(try backoff { _ in } == defaults.backoff)
    #expect(try backoff { $0.strategy = .fixed } == with { $0.strategy = .fixed })
    #expect(try backoff { $0.baseSeconds = 0 } == with { $0.baseSeconds = 0 })
    #expect(try backoff { $0.factor = 1 } == with { $0.factor = 1 })
    #expect(try backoff { $0.maxSeconds = 0 } == with { $0.maxSeconds = 0 })
    #expect(try backoff { $0.jitter = 0 } == with { $0.jitter = 0 })
  }

  @Test(arguments: wholeLimits + fractionLimits)
  fileprivate func `a number is taken at both edges of its range and refused beyond them`(limit: Limit) {
    #expect(faults(limit.task(limit.range.lowerBound)) == [])
    #expect(faults(limit.task(limit.range.upperBound)) == [])
    #expect(faults(limit.task(limit.range.lowerBound - limit.step)) == [limit.pointer])
    #expect(faults(limit.task(limit.range.upperBound + limit.step)) == [limit.pointer])
  }

  @Test(arguments: fractionLimits)
  fileprivate func `what is not a finite number is refused`(limit: Limit) {
    for value in [Double.nan, .infinity, -.infinity, .greatestFiniteMagnitude] {
      #expect(faults(limit.task(value)) == [limit.pointer])
    }
  }

  @Test func `the sentence of a fault tells the range`() {
    #expect(failure(of: task { $0.priority = 0 })?.problems.first?.detail == "must be from 1 to 9")
    #expect(failure(of: task { $0.timeoutSeconds = 0 })?.problems.first?.detail == "must be from 0.001 to 604800")
  }

  @Test func `parts of a millisecond are rounded up`() throws {
    let task = try accepted(
      task {
        $0.delaySeconds = 0.0001
        $0.timeoutSeconds = 1.0001
        $0.leaseSeconds = 2.5
      })
    #expect(task.eligible == .after(.milliseconds(1)))
    #expect(task.timeout == .milliseconds(1001))
    #expect(task.lease == .milliseconds(2500))
  }

  @Test(arguments: badNames)
  func `a hostile name is refused as type and as queue`(name: String) {
    #expect(faults(NewTask(type: name)) == ["/type"])
    #expect(faults(task { $0.queue = name }) == ["/queue"])
  }

  @Test(arguments: ["a", "9", "email.send", "A-Z_a:z.0", "-", ":", String(repeating: "a", count: 128)])
  func `a name of the allowed characters is taken as type and as queue`(name: String) {
    #expect(faults(NewTask(type: name)) == [])
    #expect(faults(task { $0.queue = name }) == [])
  }

  // MARK: Times

  @Test func `a delay excludes runAt and availableAt`() {
    #expect(faults(task { ($0.delaySeconds, $0.runAt) = (1, now) }) == ["/delaySeconds"])
    #expect(faults(task { ($0.delaySeconds, $0.availableAt) = (0, now) }) == ["/delaySeconds"])
    #expect(faults(task { ($0.delaySeconds, $0.runAt, $0.availableAt) = (1, now, now) }) == ["/delaySeconds"])
  }

  @Test func `runAt and availableAt may be given together only if they are the same time`() throws {
    let late = now + .milliseconds(1)
    #expect(faults(task { ($0.runAt, $0.availableAt) = (now, late) }) == ["/availableAt"])
    let accepted = try accepted(task { ($0.runAt, $0.availableAt) = (late, late) })
    #expect(accepted.eligible == .at(late))
    #expect(accepted.runAt == late)
  }

  @Test func `the same time with another offset is the same time`() {
    let inUTC = Timestamp("2027-02-01T10:00:00Z")
    let inRome = Timestamp("2027-02-01T11:00:00.000+01:00")
    #expect(inUTC != nil && inRome != nil)
    #expect(faults(task { ($0.runAt, $0.availableAt) = (inUTC, inRome) }) == [])
  }

  @Test func `availableAt makes a task eligible as runAt does, and only runAt is kept as such`() throws {
    let late = now + .seconds(1)
    let byAvailable = try accepted(task { $0.availableAt = late })
    #expect(byAvailable.eligible == .at(late))
    #expect(byAvailable.runAt == nil)
    let byRun = try accepted(task { $0.runAt = late })
    #expect(byRun.eligible == .at(late))
    #expect(byRun.runAt == late)
  }

  @Test func `a task must not be expired when it is accepted`() {
    #expect(faults(task { $0.expiresAt = now + .milliseconds(-1) }) == ["/expiresAt"])
    #expect(faults(task { $0.expiresAt = now }) == ["/expiresAt"])
    #expect(faults(task { $0.expiresAt = now + .milliseconds(1) }) == [])
  }

  @Test func `a task whose time is to come is PENDING and any other READY`() throws {
    func initial(_ change: (inout NewTask) -> Void) throws -> TaskRecord {
      let accepted = try accepted(task(change))
      let record = TaskRecord(accepted, acceptedAt: now)
      #expect(accepted.initial(now: now) == (record.status, record.availableAt))
      #expect(record.sequence == (record.status == .ready ? 2 : 1))  // received, and ready
      return record
    }
    let atOnce = try initial { _ in }
    #expect((atOnce.status, atOnce.availableAt) == (.ready, now))
    let past = try initial { $0.runAt = now + .seconds(-5) }
    #expect((past.status, past.availableAt) == (.ready, now))
    #expect(past.runAt == now + .seconds(-5))
    let present = try initial { $0.availableAt = now }
    #expect((present.status, present.availableAt) == (.ready, now))
    let future = try initial { $0.runAt = now + .milliseconds(1) }
    #expect((future.status, future.availableAt) == (.pending, now + .milliseconds(1)))
    let noDelay = try initial { $0.delaySeconds = 0 }
    #expect((noDelay.status, noDelay.availableAt, noDelay.delay) == (.ready, now, .zero))
    let delayed = try initial { $0.delaySeconds = 1.5 }
    #expect((delayed.status, delayed.availableAt) == (.pending, now + .milliseconds(1500)))
    #expect(delayed.delay == .milliseconds(1500))
  }

  // MARK: Tags and metadata

  @Test func `a task has at most 16 tags of 1 to 64 characters`() {
    #expect(faults(task { $0.tags = Array(repeating: "t", count: 16) }) == [])
    #expect(faults(task { $0.tags = Array(repeating: "t", count: 17) }) == ["/tags"])
    #expect(faults(task { $0.tags = ["a", ""] }) == ["/tags/1"])
    #expect(faults(task { $0.tags = [String(repeating: "é", count: 64)] }) == [])
    #expect(faults(task { $0.tags = [String(repeating: "é", count: 65), "a"] }) == ["/tags/0"])
  }

  @Test func `a task has at most 32 names of metadata of 1 to 64 characters with values of at most 512`() {
    func metadata(_ count: Int) -> [String: String] {
      Dictionary(uniqueKeysWithValues: (0..<count).map { ("k\($0)", "v") })
    }
    #expect(faults(task { $0.metadata = metadata(32) }) == [])
    #expect(faults(task { $0.metadata = metadata(33) }) == ["/metadata"])
    #expect(faults(task { $0.metadata = ["": "v"] }) == ["/metadata/"])
    let longest = String(repeating: "k", count: 64)
    #expect(faults(task { $0.metadata = [longest: ""] }) == [])
    #expect(faults(task { $0.metadata = [longest + "k": ""] }) == ["/metadata/\(longest)k"])
    #expect(faults(task { $0.metadata = ["k": String(repeating: "é", count: 512)] }) == [])
    #expect(faults(task { $0.metadata = ["k": String(repeating: "é", count: 513)] }) == ["/metadata/k"])
  }

  @Test(arguments: badTexts)
  func `control characters are refused in tags and metadata`(text: String) {
    #expect(faults(task { $0.tags = ["fine", text] }) == ["/tags/1"])
    #expect(faults(task { $0.metadata = ["k": text] }) == ["/metadata/k"])
    #expect(faults(task { $0.metadata = [text: "v"] }) == ["/metadata/\(text)"])
  }

  @Test(arguments: ["\u{202E}gnp.exe", "a\u{202A}", "\u{2066}b\u{2069}", "\u{2067}"])
  func `characters that turn the direction of text are refused in tags and metadata`(text: String) {
    #expect(faults(task { $0.tags = ["fine", text] }) == ["/tags/1"])
    #expect(faults(task { $0.metadata = ["k": text] }) == ["/metadata/k"])
    #expect(faults(task { $0.metadata = [text: "v"] }) == ["/metadata/\(text)"])
    #expect(faults(task { $0.concurrencyKey = text }) == ["/concurrencyKey"])
  }

  @Test(arguments: ["two words", "ünï😀", "שלום", "a/b~c", "'; --", "{\"a\":1}"])
  func `any other text is taken as tag and in metadata`(text: String) {
    #expect(faults(task { ($0.tags, $0.metadata) = ([text], [text: text]) }) == [])
  }

  @Test func `a name of metadata is escaped in its pointer`() {
    #expect(faults(task { $0.metadata = ["a/b~c~1": "\0"] }) == ["/metadata/a~1b~0c~01"])
  }

  // MARK: Payload

  @Test func `a payload that is too large is told apart only where it is the one fault`() throws {
    var defaults = TaskDefaults()
    defaults.maxPayloadBytes = 10
    func payload(_ count: Int) -> NewTask { NewTask(type: "t", payload: Array(repeating: 0x31, count: count)) }
    #expect(failure(of: payload(10), defaults) == nil)
    let alone = try #require(failure(of: payload(11), defaults))
    #expect(alone.problems.map(\.pointer) == ["/payload"])
    #expect(alone.payloadTooLarge)
    var other = payload(11)
    other.priority = 10
    let both = try #require(failure(of: other, defaults))
    #expect(Set(both.problems.map(\.pointer)) == ["/payload", "/priority"])
    #expect(!both.payloadTooLarge)
    #expect(failure(of: task { $0.priority = 10 })?.payloadTooLarge == false)
  }

  @Test func `a payload may be 256 KiB by default`() {
    func faults(_ count: Int) -> [String] {
      MartletCoreTests.faults(NewTask(type: "t", payload: Array(repeating: 0x31, count: count)))
    }
    #expect(faults(262_144) == [])
    #expect(faults(262_145) == ["/payload"])
  }

  // MARK: All at once

  @Test func `everything wrong is told at once`() {
    var new = NewTask(type: "", payload: Array(repeating: 0x31, count: 262_145))
    new.queue = ""
    new.runAt = now
    new.availableAt = now + .seconds(1)
    new.expiresAt = now
    new.tags = ["", "fine", "\0"]
    new.metadata = ["a": "\0", "b": "fine", "": "x"]
    for limit in wholeLimits + fractionLimits { limit.set(&new, limit.range.upperBound + 1) }
    let expected =
      [
        "/type", "/queue", "/availableAt", "/expiresAt", "/tags/0", "/tags/2", "/metadata/a", "/metadata/", "/payload",
        "/delaySeconds",  // once for its size, which is among the limits, and once for being there at all
      ] + (wholeLimits + fractionLimits).map(\.pointer)
    let failure = failure(of: new)
    #expect(failure?.problems.map(\.pointer).sorted() == expected.sorted())
    #expect(failure?.payloadTooLarge == false)
    #expect(failure?.problems.contains { $0.detail.isEmpty } == false)
  }

  // MARK: Patches

  @Test func `a patch keeps to the rules of a submission`() {
    func faults(_ patch: TaskPatch) -> [String] { patch.problems.map(\.pointer) }
    #expect(faults(TaskPatch()) == [])
    #expect(faults(TaskPatch(priority: 1, available: .now, tags: [], metadata: [:])) == [])
    #expect(faults(TaskPatch(priority: 9)) == [])
    #expect(faults(TaskPatch(priority: 0)) == ["/priority"])
    #expect(faults(TaskPatch(priority: 10)) == ["/priority"])
    #expect(faults(TaskPatch(tags: Array(repeating: "t", count: 17))) == ["/tags"])
    #expect(
      faults(TaskPatch(priority: 0, tags: ["\n"], metadata: ["k": "\0"])) == ["/priority", "/tags/0", "/metadata/k"])
  }

  @Test func `a patch names the fields it changes`() {
    #expect(TaskPatch().fields == [])
    #expect(TaskPatch(tags: []).fields == ["tags"])
    #expect(TaskPatch(metadata: [:]).fields == ["metadata"])
    #expect(TaskPatch(priority: 1, available: .now).fields == ["priority", "availableAt"])
  }
}

@Suite struct WhenTests {
  @Test func `now is now`() {
    #expect(When.now.resolved(now: now) == now)
  }

  @Test func `a delay counts from now and never reaches back`() {
    #expect(When.after(.milliseconds(1)).resolved(now: now) == now + .milliseconds(1))
    #expect(When.after(.zero).resolved(now: now) == now)
    #expect(When.after(.seconds(-1)).resolved(now: now) == now)
  }

  @Test func `a delay ends with the last time that can be written`() {
    #expect(When.after(.seconds(Int64.max)).resolved(now: now) == .latest)
  }

  @Test func `a time is itself, or now once it has passed`() {
    #expect(When.at(now + .seconds(1)).resolved(now: now) == now + .seconds(1))
    #expect(When.at(now).resolved(now: now) == now)
    #expect(When.at(now + .seconds(-1)).resolved(now: now) == now)
    #expect(When.at(.earliest).resolved(now: now) == now)
  }
}
