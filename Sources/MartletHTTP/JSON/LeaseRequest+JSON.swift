// From the bodies of the lease protocol to what `LeaseService` takes. The envelope is strict, as everywhere; the entries of a call
// about many leases are judged each by itself, so that one mistake does not cost the others their leases.

internal import MartletCore
internal import MartletEngine

extension LeaseRequest {
  /// - Parameter name: the worker's where it gives none itself.
  /// - Throws: the text is no JSON (400), or fields are unknown, missing or of the wrong kind (422).
  init(json bytes: [UInt8], name: String, host: String) throws(Problem) {
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(bytes) } catch { throw Problem(error) }
    var problems = Problems()
    let names = ["worker", "queues", "types", "limit", "ahead", "waitSeconds"]
    let fields = JSONFields(root, at: "", known: names, problems: &problems)
    self.init(
      worker: fields.string("worker", &problems) ?? name, host: host, queues: fields.strings("queues", &problems),
      types: fields.strings("types", &problems) ?? [])
    limit = fields.int("limit", &problems) ?? limit
    ahead = fields.int("ahead", &problems) ?? ahead
    patience = fields.double("waitSeconds", &problems).map { .wire(seconds: min(max($0, -1), 3600)) } ?? patience
    if root.kind == .object, !fields.has("types") { problems.add(fields.place("types"), "is required") }
    guard problems.all.isEmpty else {
      let told = Set(problems.all.map(\.pointer))
      throw .invalid(
        problems.all + self.problems.filter { problem in !told.contains { problem.pointer.hasPrefix($0) } })
    }
  }
}

/// One entry of a call about many leases.
struct LeaseEntry<Value: Sendable>: Sendable {
  /// As the client wrote it, if it wrote a text.
  let leaseID: String?
  /// What there is to do; nil where there is nothing.
  var value: Value?
  /// What is wrong with it, and what of it was not taken.
  var detail: String?
  /// There is something wrong with it.
  let hasMistake: Bool

  /// The entries of an envelope such as `{"leases": […]}`.
  /// - Throws: the text is no JSON (400), or the envelope is not as it should be (422).
  static func all(
    _ name: String, of bytes: [UInt8], fields names: [String],
    _ read: (LeaseID, JSONFields, _ problems: inout Problems, _ remarks: inout Problems) -> Value
  ) throws(Problem) -> [LeaseEntry] {
    let root: JSONSlice
    // An entry's own depth is judged with the entry.
    do throws(JSONError) { root = try JSONScanner.scan(bytes, maxDepth: .max) } catch {
      throw Problem(error)
    }
    var problems = Problems()
    let envelope = JSONFields(root, at: "", known: [name], problems: &problems)
    let entries = envelope.raw(name).flatMap { $0.isNull ? nil : $0 }?.elements(atMost: LeaseRequest.mostLeases + 1)
    if root.kind == .object {
      if !envelope.has(name) {
        problems.add(envelope.place(name), "is required")
      } else if entries == nil {
        problems.add(envelope.place(name), "must be an array")
      }
    }
    if let entries, entries.count > LeaseRequest.mostLeases {
      problems.add(envelope.place(name), "has more than \(LeaseRequest.mostLeases) entries")
    }
    guard problems.all.isEmpty else { throw .invalid(problems.all) }
    return (entries ?? []).map { LeaseEntry($0, fields: names, read) }
  }

  private init(
    _ slice: JSONSlice, fields names: [String],
    _ read: (LeaseID, JSONFields, _ problems: inout Problems, _ remarks: inout Problems) -> Value
  ) {
    var problems = Problems()
    var remarks = Problems()
    // What a worker tells of its work must not be lost for a torn character in it.
    let fields = JSONFields(
      slice, at: "", known: ["leaseId"] + names, mendsTexts: true, problems: &problems)
    leaseID = fields.string("leaseId", &problems)
    if slice.kind == .object, !fields.has("leaseId") { problems.add("/leaseId", "is required") }
    if let lease = leaseID.flatMap(LeaseID.init) { value = read(lease, fields, &problems, &remarks) }
    hasMistake = !problems.all.isEmpty
    let told = problems.all + remarks.all
    if !told.isEmpty {
      detail = told.map { $0.pointer.isEmpty ? $0.detail : "\($0.pointer) \($0.detail)" }.joined(separator: "; ")
    }
  }
}

extension LeaseEntry<LeaseRenewal> {
  /// A renewal with a mistake in it still renews: the mistake is told, the lease is not lost for it.
  static func renewals(_ bytes: [UInt8]) throws(Problem) -> [LeaseEntry] {
    try all("leases", of: bytes, fields: ["progress", "logs"]) { lease, fields, problems, _ in
      LeaseRenewal(
        lease: lease, progress: Progress(fields, &problems),
        logs: fields.strings("logs", last: Limits.logLines, &problems) ?? [])
    }
  }
}

extension LeaseEntry<LeaseReport> {
  /// A report with a mistake in it is not applied, unless it says that the work is done: that is what counts, and the mistake is told.
  static func reports(_ bytes: [UInt8]) throws(Problem) -> [LeaseEntry] {
    let names = ["outcome", "result", "error", "retryable", "delaySeconds", "logs"]
    return try all("results", of: bytes, fields: names) { lease, fields, problems, remarks in
      LeaseReport(
        lease: lease, outcome: Outcome(fields, &problems, &remarks),
        logs: fields.strings("logs", last: Limits.logLines, &problems) ?? [])
    }
  }
}

extension Progress {
  private static let longestMessage = 1000

  fileprivate init?(_ fields: JSONFields, _ problems: inout Problems) {
    guard fields.has("progress"), let slice = fields.raw("progress") else { return nil }
    let parts = JSONFields(
      slice, at: fields.place("progress"), known: ["percent", "message"], mendsTexts: true, problems: &problems)
    guard let percent = parts.double("percent", &problems) else {
      if slice.kind == .object, !parts.has("percent") { problems.add(parts.place("percent"), "is required") }
      return nil
    }
    guard (0...100).contains(percent) else {
      problems.add(parts.place("percent"), "must be from 0 to 100")
      return nil
    }
    self.init(percent: percent, message: parts.string("message", &problems)?.cut(to: Self.longestMessage))
  }
}

extension String {
  /// Its first Unicode scalars.
  fileprivate func cut(to count: Int) -> String {
    unicodeScalars.count <= count ? self : String(String.UnicodeScalarView(unicodeScalars.prefix(count)))
  }
}

extension TaskError {
  private static let longest = (type: 128, message: 4000, stack: 16_384)

  /// Every part may be missing; too long ones are cut, as the report of a failure must not fail itself.
  fileprivate init(_ fields: JSONFields, _ problems: inout Problems) {
    self.init(type: "FAILED", message: "the worker gave no reason")
    guard fields.has("error"), let slice = fields.raw("error") else { return }
    let parts = JSONFields(
      slice, at: fields.place("error"), known: ["type", "message", "stack"], mendsTexts: true, problems: &problems)
    type = parts.string("type", &problems)?.cut(to: Self.longest.type) ?? type
    message = parts.string("message", &problems)?.cut(to: Self.longest.message) ?? message
    stack = parts.string("stack", &problems)?.cut(to: Self.longest.stack)
  }
}

extension Outcome {
  private enum Name: String, CaseIterable {
    case success = "SUCCESS"
    case failed = "FAILED"
    case timedOut = "TIMED_OUT"
    case snoozed = "SNOOZED"
    case cancelled = "CANCELLED"
    case released = "RELEASED"
  }

  /// Any outcome where there is a problem. What has no meaning with the outcome is not looked at; that a result is lost is told. The
  /// work behind a report must not be done again for a field too many.
  fileprivate init(_ fields: JSONFields, _ problems: inout Problems, _ remarks: inout Problems) {
    let name: Name? = fields.choice("outcome", &problems)
    if name == nil, !fields.has("outcome") { problems.add(fields.place("outcome"), "is required") }
    if let name, name != .success, fields.has("result") {
      remarks.add(fields.place("result"), "belongs to SUCCESS, not to \(name.rawValue): it was not kept")
    }
    switch name {
    case .success:
      let result = fields.has("result") ? fields.raw("result") : nil
      self = .success(result: result.map { Self.kept($0, at: fields.place("result"), &remarks) })
    case .failed:
      let error = TaskError(fields, &problems)
      if fields.bool("retryable", &problems) == false {
        self = .failed(error, .giveUp(error.type == "BAD_PAYLOAD" ? .badPayload : .nonRetryable))
      } else {
        self = .failed(error, Self.delay(fields, &problems).map { .retryAfter($0) } ?? .retry)
      }
    case .snoozed:
      if !fields.has("delaySeconds") { problems.add(fields.place("delaySeconds"), "is required with SNOOZED") }
      self = .snoozed(Self.delay(fields, &problems) ?? .zero)
    case .timedOut: self = .timedOut
    case .cancelled: self = .cancelled
    case .released, nil: self = .released
    }
  }

  private static func delay(_ fields: JSONFields, _ problems: inout Problems) -> Duration? {
    let seconds = fields.double("delaySeconds", &problems)
    problems.check(seconds, in: 0...Limits.farthestSeconds, at: fields.place("delaySeconds"))
    return seconds.map { .wire(seconds: min(max($0, 0), Limits.farthestSeconds)) }
  }

  /// A result as it is, but one that is nested too deep for those who read it as text.
  private static func kept(_ result: JSONSlice, at place: String, _ remarks: inout Problems) -> [UInt8] {
    let bytes = result.bytes
    do {
      _ = try JSONScanner.scan(bytes)
      return bytes
    } catch {
      remarks.add(place, "is nested more than \(Limits.jsonDepth) levels deep: it is kept as a text")
      var writer = JSONWriter(capacity: bytes.count + 64)
      writer.string(String(decoding: bytes, as: UTF8.self))
      return writer.bytes
    }
  }
}
