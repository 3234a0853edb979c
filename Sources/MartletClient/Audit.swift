// The audit as a server shows it: who changed what.

public import MartletCore

/// Which entries a page of the audit shall hold. All given filters must hold.
public struct AuditFilter: Sendable, Hashable {
  /// `key:NAME`, `token:SUBJECT`, or `api` where there is no authentication.
  public var actor: String?
  /// `task.cancel`, `queue.update` and so on.
  public var action: String?
  /// A task's id, a queue's name.
  public var target: String?
  /// Inclusive.
  public var createdAfter: Timestamp?
  /// Exclusive.
  public var createdBefore: Timestamp?

  /// Every entry.
  public init() {}

  var query: [(name: String, value: String)] {
    let values: [(name: String, value: String?)] = [
      ("actor", actor), ("action", action), ("target", target), ("createdAfter", createdAfter?.description),
      ("createdBefore", createdBefore?.description),
    ]
    return values.compactMap { field in field.value.map { (field.name, $0) } }
  }
}

/// One act.
public struct AuditRecord: Sendable, Hashable {
  public var id: Int
  public var at: Timestamp
  public var actor: String
  public var action: String
  public var target: String
  /// A JSON object of what matters beyond that.
  public var detail: [UInt8]?
  /// The whole object as it came.
  public var json: [UInt8]

  init(_ reader: ObjectReader) throws(MartletClientError) {
    id = try reader.required("id", reader.int("id"))
    at = try reader.required("at", reader.time("at"))
    actor = try reader.required("actor", reader.text("actor"))
    action = try reader.required("action", reader.text("action"))
    target = try reader.required("target", reader.text("target"))
    detail = reader.raw("detail").flatMap { $0 == Array("null".utf8) ? nil : $0 }
    json = reader.slice.bytes
  }
}

/// A part of the audit, newest first.
public struct AuditListPage: Sendable, Hashable {
  public var entries: [AuditRecord]
  /// Where the next page begins; nil after the last.
  public var nextCursor: String?
  /// The whole page as it came.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    entries = try Reading.data(answer, AuditRecord.init)
    nextCursor = try Reading.object(answer).text("nextCursor")
    json = answer.json
  }
}

extension MartletClient {
  /// One page of who changed what, newest first; for administrators.
  /// - Parameters:
  ///   - limit: 1…1000. A page may hold fewer entries, even none, while `nextCursor` is set.
  ///   - cursor: The `nextCursor` of the page before, with the same filter.
  public func audit(
    _ filter: AuditFilter = AuditFilter(), limit: Int = 50, after cursor: String? = nil
  ) async throws -> AuditListPage {
    try AuditListPage(await answer(to: .audit(filter, limit: limit, cursor: cursor)))
  }
}
