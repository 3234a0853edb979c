// An instruction as a client gives it, its validation, and what it becomes once accepted: a complete row with every default
// filled in. HTTP decodes into `NewTask`, embedders make one by hand, `TaskService` turns it into an `AcceptedTask`.

/// An instruction to do something later. Only `type` is required; nil fields take the installation's defaults.
public struct NewTask: Sendable, Hashable {
  /// 1–128 of `A-Z a-z 0-9 . _ : -`
  public var type: String
  /// One JSON value in UTF-8, kept byte for byte.
  public var payload: [UInt8]
  /// As `type`; default `default`.
  public var queue: String?
  /// 1…9, 9 is most urgent; default 5.
  public var priority: Int?
  /// Not together with `runAt` or `availableAt`.
  public var delaySeconds: Double?
  public var runAt: Timestamp?
  public var availableAt: Timestamp?
  /// 0…100 after the first attempt.
  public var retries: Int?
  public var backoff: Backoff?
  /// Bounds one attempt; 1 ms to 7 days.
  public var timeoutSeconds: Double?
  /// How long a silent worker keeps the task; 1 s to 1 h.
  public var leaseSeconds: Double?
  /// No first attempt starts after it.
  public var expiresAt: Timestamp?
  /// At most 16, each 1–64 characters.
  public var tags: [String]
  /// At most 32 names of 1–64 characters, values of at most 512.
  public var metadata: [String: String]
  /// W3C Trace Context, stored with the task and handed to the handler.
  public var traceparent: String?
  /// Ids of stored tasks that all have to succeed first; in a batch also the `ref`s of its other tasks. At most 1,000.
  public var dependencies: [String]
  /// What happens when one of them ends DEAD or CANCELLED; default HOLD.
  public var onDependencyFailure: DependencyPolicy?
  /// How the other tasks of its batch name it.
  public var ref: String?
  /// 1–255 visible ASCII characters: the same key with the same request is answered with the same task.
  public var idempotencyKey: String?
  /// 1–255 characters: at most as many tasks of a key run at once in a queue as the queue's `concurrencyPerKey` says.
  public var concurrencyKey: String?
  /// Who is told how it ended, at most 16; nil leaves it to the defaults, an empty list tells nobody.
  public var notify: [NoticeTarget]?

  public init(type: String, payload: [UInt8] = Array("{}".utf8)) {
    self.type = type
    self.payload = payload
    tags = []
    metadata = [:]
    dependencies = []
  }

  /// The parts of a `RetryPolicy` that a client gave; the rest comes from the defaults.
  public struct Backoff: Sendable, Hashable {
    public var strategy: RetryPolicy.Strategy?
    public var baseSeconds: Double?
    public var factor: Double?
    public var maxSeconds: Double?
    public var jitter: Double?

    public init() {}

    package func filled(from defaults: RetryPolicy) -> RetryPolicy {
      RetryPolicy(
        strategy: strategy ?? defaults.strategy, baseSeconds: baseSeconds ?? defaults.baseSeconds,
        factor: factor ?? defaults.factor, maxSeconds: maxSeconds ?? defaults.maxSeconds,
        jitter: jitter ?? defaults.jitter)
    }
  }
}

/// What fills the fields that a client left out.
package struct TaskDefaults: Sendable, Hashable {
  package var retries = 3
  package var timeout = Duration.seconds(300)
  package var lease = Duration.seconds(30)
  package var backoff = RetryPolicy()
  package var maxPayloadBytes = 256 * 1024
  package var notify: [NoticeTarget] = []

  package init() {}
}

/// One thing wrong with an input: a JSON Pointer (RFC 6901) into it and a sentence.
public struct ValidationProblem: Sendable, Hashable {
  public var pointer: String
  public var detail: String

  public init(pointer: String, detail: String) {
    self.pointer = pointer
    self.detail = detail
  }
}

public struct ValidationFailure: Error, Sendable, Hashable {
  public let problems: [ValidationProblem]
  /// True when the only fault is a payload over the size limit (413 rather than 422).
  package let payloadTooLarge: Bool

  package init(_ problems: [ValidationProblem], payloadTooLarge: Bool = false) {
    self.problems = problems
    self.payloadTooLarge = payloadTooLarge
  }
}

/// A task complete in every field, ready to be written. Everything but the time of acceptance is decided.
package struct AcceptedTask: Sendable, Hashable {
  package var id: TaskID
  package var type: String
  package var queue: String
  package var payload: [UInt8]
  package var priority: Int
  package var eligible: When
  package var runAt: Timestamp?
  package var retries: Int
  package var backoff: RetryPolicy
  package var timeout: Duration
  package var lease: Duration
  package var expiresAt: Timestamp?
  package var tags: [String]
  package var metadata: [String: String]
  package var traceparent: String?
  package var replayOf: TaskID?
  /// Stored tasks, or tasks of the same submission.
  package var dependencies: [TaskID] = []
  package var onDependencyFailure = DependencyPolicy.hold
  /// How the other tasks of its graph know it, for people.
  package var ref: String?
  package var graph = GraphMembership.none
  package var idempotencyKey: String?
  package var concurrencyKey: String?
  package var scheduleName: String?
  /// Who is told how it ends.
  package var notify: [NoticeTarget] = []
  /// Who wants it done, as its first event tells.
  package var submittedBy = Actor.api

  package init(
    id: TaskID, type: String, queue: String, payload: [UInt8], priority: Int, eligible: When, runAt: Timestamp?,
    retries: Int, backoff: RetryPolicy, timeout: Duration, lease: Duration, expiresAt: Timestamp?, tags: [String],
    metadata: [String: String], traceparent: String?, replayOf: TaskID?
  ) {
    self.id = id
    self.type = type
    self.queue = queue
    self.payload = payload
    self.priority = priority
    self.eligible = eligible
    self.runAt = runAt
    self.retries = retries
    self.backoff = backoff
    self.timeout = timeout
    self.lease = lease
    self.expiresAt = expiresAt
    self.tags = tags
    self.metadata = metadata
    self.traceparent = traceparent
    self.replayOf = replayOf
  }

  /// PENDING or READY, and when it is eligible, for a submission accepted at `now`.
  package func initial(now: Timestamp) -> (status: TaskStatus, availableAt: Timestamp) {
    let availableAt = eligible.resolved(now: now)
    return (availableAt > now ? .pending : .ready, availableAt)
  }
}

extension NewTask {
  /// The accepted form, or every problem at once. `now` is only needed for `expiresAt`.
  package func accepted(id: TaskID, defaults: TaskDefaults, now: Timestamp) throws(ValidationFailure) -> AcceptedTask {
    var problems = Problems()
    problems.checkName(type, at: "/type")
    if let queue { problems.checkName(queue, at: "/queue") }
    problems.check(delaySeconds, in: 0...Limits.farthestSeconds, at: "/delaySeconds")
    problems.checkValues(of: self)
    checkTimes(into: &problems, now: now)
    problems.checkTags(tags)
    problems.checkMetadata(metadata)
    if let idempotencyKey { problems.checkKey(idempotencyKey, at: "/idempotencyKey") }
    if let concurrencyKey { problems.checkText(concurrencyKey, lengths: 1...255, at: "/concurrencyKey") }
    problems.checkNotify(notify)
    let tooLarge = payload.count > defaults.maxPayloadBytes
    let onlyTooLarge = tooLarge && problems.all.isEmpty
    if tooLarge {
      problems.add("/payload", "is \(payload.count) bytes; at most \(defaults.maxPayloadBytes) are taken")
    }
    guard problems.all.isEmpty else {
      throw ValidationFailure(problems.all, payloadTooLarge: onlyTooLarge)
    }
    var accepted = AcceptedTask(
      id: id, type: type, queue: queue ?? "default", payload: payload, priority: priority ?? 5,
      eligible: eligible, runAt: runAt, retries: retries ?? defaults.retries,
      backoff: backoff?.filled(from: defaults.backoff) ?? defaults.backoff,
      timeout: timeoutSeconds.map { .wire(seconds: $0) } ?? defaults.timeout,
      lease: leaseSeconds.map { .wire(seconds: $0) } ?? defaults.lease,
      expiresAt: expiresAt, tags: tags, metadata: metadata, traceparent: traceparent, replayOf: nil)
    accepted.onDependencyFailure = onDependencyFailure ?? .hold
    accepted.ref = ref
    accepted.idempotencyKey = idempotencyKey
    accepted.concurrencyKey = concurrencyKey
    accepted.notify = notify ?? defaults.notify
    return accepted
  }

  private var eligible: When {
    if let delaySeconds { return .after(.wire(seconds: delaySeconds)) }
    if let time = availableAt ?? runAt { return .at(time) }
    return .now
  }

  private func checkTimes(into problems: inout Problems, now: Timestamp) {
    if delaySeconds != nil, runAt != nil || availableAt != nil {
      problems.add("/delaySeconds", "cannot be given together with runAt or availableAt")
    }
    if let runAt, let availableAt, runAt != availableAt {
      problems.add("/availableAt", "differs from runAt; give one of them, or the same time twice")
    }
    if let expiresAt, expiresAt <= now {
      problems.add("/expiresAt", "is in the past")
    }
  }
}

package enum Limits {
  package static let tags = 16
  package static let metadata = 32
  /// 100 years: further delays are typing errors.
  package static let farthestSeconds: Double = 3_155_760_000
  package static let jsonDepth = 64
  /// Log lines and bytes kept with one attempt; the last ones win.
  package static let logLines = 1000
  package static let logBytes = 64 * 1024
  /// A longer result is not kept, half a JSON value being none; the task succeeds all the same (`resultTruncated`).
  package static let resultBytes = 256 * 1024

  /// 1–128 of `A-Z a-z 0-9 . _ : -`, for types and queues.
  package static func isName(_ text: String) -> Bool {
    (1...128).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"),
          UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }
}

package enum JSONPointer {
  /// One reference token (RFC 6901 §3).
  package static func escaped(_ token: String) -> String {
    // Nobody looks for a place by a name of a million characters, and answers repeat it.
    guard token.utf8.count <= 1024 else { return escaped(String(token.prefix(100))) + "…" }
    guard token.utf8.contains(where: { $0 == UInt8(ascii: "~") || $0 == UInt8(ascii: "/") }) else { return token }
    var text = ""
    for character in token.unicodeScalars {
      switch character {
      case "~": text += "~0"
      case "/": text += "~1"
      default: text.unicodeScalars.append(character)
      }
    }
    return text
  }
}

/// Collects problems so that all are told at once: the first hundred, for nobody reads more.
package struct Problems {
  package static let most = 100

  package private(set) var all: [ValidationProblem] = []

  package init() {}

  /// Further ones will not be told: nobody has to look for them.
  package var areFull: Bool { all.count > Self.most }

  package mutating func add(_ pointer: String, _ detail: String) {
    guard all.count < Self.most else {
      if all.count == Self.most {
        all.append(ValidationProblem(pointer: "", detail: "has more problems than the \(Self.most) that are told"))
      }
      return
    }
    all.append(ValidationProblem(pointer: pointer, detail: detail))
  }

  package mutating func checkName(_ name: String, at pointer: String) {
    if !Limits.isName(name) { add(pointer, "must be 1–128 characters of A-Z a-z 0-9 . _ : -") }
  }

  package mutating func check(_ value: Int?, in range: ClosedRange<Int>, at pointer: String) {
    if let value, !range.contains(value) {
      add(pointer, "must be from \(range.lowerBound) to \(range.upperBound)")
    }
  }

  package mutating func check(_ value: Double?, in range: ClosedRange<Double>, at pointer: String) {
    if let value, !range.contains(value) {
      add(pointer, "must be from \(Self.text(range.lowerBound)) to \(Self.text(range.upperBound))")
    }
  }

  /// Of the fields that types have defaults for.
  package mutating func checkValues(of task: NewTask) {
    check(task.priority, in: 1...9, at: "/priority")
    check(task.retries, in: 0...100, at: "/retries")
    check(task.timeoutSeconds, in: 0.001...604_800, at: "/timeoutSeconds")
    check(task.leaseSeconds, in: 1...3600, at: "/leaseSeconds")
    check(task.backoff?.baseSeconds, in: 0...Limits.farthestSeconds, at: "/backoff/baseSeconds")
    check(task.backoff?.factor, in: 1...1000, at: "/backoff/factor")
    check(task.backoff?.maxSeconds, in: 0...Limits.farthestSeconds, at: "/backoff/maxSeconds")
    check(task.backoff?.jitter, in: 0...1, at: "/backoff/jitter")
  }

  /// Length in characters, which are Unicode's code points, as in JSON Schema; control characters are refused.
  /// So are those that turn the direction of text (Unicode Standard Annex 9, §2.1 and §2.2), for which nobody sees any more what
  /// it says.
  /// - Parameter name: set before the detail.
  package mutating func checkText(
    _ text: String, lengths: ClosedRange<Int>, at pointer: String, of name: String = ""
  ) {
    if !lengths.contains(text.unicodeScalars.count) {
      add(pointer, "\(name)must be \(lengths.lowerBound) to \(lengths.upperBound) characters long")
    } else if text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
      add(pointer, "\(name)must not contain control characters")
    } else if text.unicodeScalars.contains(where: { 0x202A...0x202E ~= $0.value || 0x2066...0x2069 ~= $0.value }) {
      add(pointer, "\(name)must not contain characters that turn the direction of text")
    }
  }

  /// An idempotency key: visible ASCII (RFC 5234, VCHAR).
  package mutating func checkKey(_ key: String, at pointer: String) {
    if !(1...255).contains(key.utf8.count) || !key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
      add(pointer, "must be 1 to 255 visible ASCII characters")
    }
  }

  package mutating func checkTags(_ tags: [String]) {
    if tags.count > Limits.tags { add("/tags", "has \(tags.count) entries; at most \(Limits.tags) are taken") }
    for (index, tag) in tags.prefix(Limits.tags).enumerated() {
      checkText(tag, lengths: 1...64, at: "/tags/\(index)")
    }
  }

  package mutating func checkMetadata(_ metadata: [String: String]) {
    if metadata.count > Limits.metadata {
      add("/metadata", "has \(metadata.count) names; at most \(Limits.metadata) are taken")
    }
    for (name, value) in metadata.sorted(by: { $0.key < $1.key }).prefix(Limits.metadata) {
      let pointer = "/metadata/\(JSONPointer.escaped(name))"
      checkText(name, lengths: 1...64, at: pointer)
      checkText(value, lengths: 0...512, at: pointer)
    }
  }

  private static func text(_ value: Double) -> String {
    value == value.rounded() ? String(Int64(value)) : String(value)
  }
}
