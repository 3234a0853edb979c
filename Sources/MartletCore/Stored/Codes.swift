// How Core's values stand in the columns of both stores: small integers for enumerations, text for the rest. Codes are for
// ever; the SQL files use them as literals.

extension TaskStatus {
  package var code: Int64 {
    switch self {
    case .pending: 1
    case .ready: 2
    case .running: 3
    case .retry: 4
    case .success: 5
    case .dead: 6
    case .cancelled: 7
    }
  }

  package init(code: Int64) throws {
    self = try decode(code, TaskStatus.allCases, \.code, "status")
  }
}

extension AttemptOutcome {
  package var code: Int64 {
    switch self {
    case .success: 1
    case .failed: 2
    case .timedOut: 3
    case .lost: 4
    case .cancelled: 5
    case .snoozed: 6
    case .released: 7
    }
  }

  package init(code: Int64) throws {
    self = try decode(code, AttemptOutcome.allCases, \.code, "outcome")
  }
}

extension FinalReason {
  package var code: Int64 {
    switch self {
    case .retriesExhausted: 1
    case .nonRetryable: 2
    case .badPayload: 3
    case .requested: 4
    case .expired: 5
    case .dependencyFailed: 6
    }
  }

  package init(code: Int64) throws {
    self = try decode(code, FinalReason.allCases, \.code, "reason")
  }
}

extension TaskEventType {
  package var code: Int64 {
    switch self {
    case .received: 1
    case .ready: 2
    case .started: 3
    case .succeeded: 4
    case .failed: 5
    case .retry: 6
    case .dead: 7
    case .cancelled: 8
    case .snoozed: 9
    case .released: 10
    case .retried: 11
    case .updated: 12
    }
  }

  package init(code: Int64) throws {
    self = try decode(code, TaskEventType.allCases, \.code, "event type")
  }
}

extension DependencyPolicy {
  package var code: Int64 {
    switch self {
    case .hold: 1
    case .cancel: 2
    case .run: 3
    }
  }

  package init(code: Int64) throws {
    self = try decode(code, DependencyPolicy.allCases, \.code, "dependency policy")
  }
}

extension RetryPolicy {
  /// `exponential 1.0 2.0 3600.0 0.2`: cheaper to write and read than JSON, and as easy for people.
  package var column: String {
    "\(strategy.rawValue) \(baseSeconds) \(factor) \(maxSeconds) \(jitter)"
  }

  package init(column: String) throws {
    let parts = column.split(separator: " ")
    guard parts.count == 5, let strategy = Strategy(rawValue: String(parts[0])), let base = Double(parts[1]),
      let factor = Double(parts[2]), let longest = Double(parts[3]), let jitter = Double(parts[4])
    else { throw UnreadableRow(what: "backoff '\(column)'") }
    self.init(strategy: strategy, baseSeconds: base, factor: factor, maxSeconds: longest, jitter: jitter)
  }
}

/// Text columns that hold JSON made here.
package enum JSONColumn {
  package static func strings(_ values: [String]) -> String? {
    guard !values.isEmpty else { return nil }
    var writer = JSONWriter()
    writer.array(of: values) { $0.string($1) }
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  package static func strings(_ column: String?) throws -> [String] {
    guard let column else { return [] }
    guard let elements = try JSONScanner.scan(Array(column.utf8)).elements else { throw UnreadableRow(what: column) }
    return elements.compactMap(\.string)
  }

  package static func map(_ values: [String: String]) -> String? {
    guard !values.isEmpty else { return nil }
    var writer = JSONWriter()
    writer.object { writer in
      for (name, value) in values.sorted(by: { $0.key < $1.key }) { writer.field(name, value) }
    }
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  package static func map(_ column: String?) throws -> [String: String] {
    guard let column else { return [:] }
    guard let members = try JSONScanner.scan(Array(column.utf8)).members else { throw UnreadableRow(what: column) }
    return Dictionary(members.map { ($0.name, $0.value.string ?? "") }) { $1 }
  }
}

/// A row that this version of the code did not write.
package struct UnreadableRow: Error {
  package let what: String

  package init(what: String) {
    self.what = what
  }
}

private func decode<Value>(_ code: Int64, _ all: [Value], _ codeOf: (Value) -> Int64, _ name: String) throws -> Value {
  guard let value = all.first(where: { codeOf($0) == code }) else { throw UnreadableRow(what: "\(name) \(code)") }
  return value
}
