// A new task as the body of `POST /tasks`: payload byte for byte, durations in seconds, times in RFC 3339. Fields that
// are nil are left out, so that the server's defaults apply.

internal import Foundation
public import MartletCore

extension NewTask {
  /// A task whose payload is `payload` as `JSONEncoder` writes it (sorted keys).
  /// - Throws: `MartletClientError.invalidRequest` where `payload` refuses to be encoded.
  public init(type: String, encoding payload: some Encodable) throws(MartletClientError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      self.init(type: type, payload: Array(try encoder.encode(payload)))
    } catch {
      throw .invalidRequest("the payload cannot be encoded as JSON: \(error)")
    }
  }

  func json() throws(MartletClientError) -> [UInt8] {
    do throws(JSONError) {
      // Spliced into the body below: it must be one value, or it could write fields of its own.
      _ = try JSONScanner.scan(payload)
    } catch {
      throw .invalidRequest("the payload \(error.predicate)")
    }
    for (name, value) in numbers where !value.isFinite {
      throw .invalidRequest("\(name) is not a finite number")
    }
    var writer = JSONWriter(capacity: payload.count + 256)
    writer.object { writer in
      writer.field("type", type)
      writer.name("payload")
      writer.raw(payload)
      if let queue { writer.field("queue", queue) }
      if let priority { writer.field("priority", priority) }
      if let delaySeconds { writer.field("delaySeconds", delaySeconds) }
      if let runAt { writer.field("runAt", runAt) }
      if let availableAt { writer.field("availableAt", availableAt) }
      if let retries { writer.field("retries", retries) }
      if let backoff { writer.field("backoff") { backoff.write(to: &$0) } }
      if let timeoutSeconds { writer.field("timeoutSeconds", timeoutSeconds) }
      if let leaseSeconds { writer.field("leaseSeconds", leaseSeconds) }
      if let expiresAt { writer.field("expiresAt", expiresAt) }
      if !tags.isEmpty { writer.field("tags", tags) }
      if !metadata.isEmpty { writer.field("metadata", metadata) }
    }
    return writer.bytes
  }

  /// JSON has no infinity, and `null` would silently mean "not given".
  private var numbers: [(String, Double)] {
    let all: [(String, Double?)] = [
      ("delaySeconds", delaySeconds), ("timeoutSeconds", timeoutSeconds), ("leaseSeconds", leaseSeconds),
      ("backoff.baseSeconds", backoff?.baseSeconds), ("backoff.factor", backoff?.factor),
      ("backoff.maxSeconds", backoff?.maxSeconds), ("backoff.jitter", backoff?.jitter),
    ]
    return all.compactMap { name, value in value.map { (name, $0) } }
  }
}

extension NewTask.Backoff {
  fileprivate func write(to writer: inout JSONWriter) {
    if let strategy { writer.field("strategy", strategy.rawValue) }
    if let baseSeconds { writer.field("baseSeconds", baseSeconds) }
    if let factor { writer.field("factor", factor) }
    if let maxSeconds { writer.field("maxSeconds", maxSeconds) }
    if let jitter { writer.field("jitter", jitter) }
  }
}

extension JSONWriter {
  /// An object of strings, sorted by name.
  mutating func field(_ name: String, _ map: [String: String]) {
    field(name) { writer in
      for (key, value) in map.sorted(by: { $0.key < $1.key }) { writer.field(key, value) }
    }
  }
}

extension JSONError {
  /// What is to be said of a text.
  package var predicate: String {
    switch self {
    case .malformed(let offset, let what): "is not JSON: \(what), at byte \(offset)"
    case .tooDeep(let limit): "is nested deeper than \(limit) levels"
    }
  }
}
