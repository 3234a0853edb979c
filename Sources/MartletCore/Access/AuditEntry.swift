// The audit: who changed what, and when; submissions have their tasks' events instead. A store writes an entry in the
// transaction that does the act, and never changes it. Read by `GET /audit`.

/// An act as it is handed to the store that carries it out.
package struct AuditNote: Sendable, Hashable {
  /// `Credential.actor`
  package var actor: String
  package var action: AuditAction
  /// What it was done to: a task's id, a queue's or a schedule's name, a key's id.
  package var target: String
  /// A short JSON object of what matters beyond that; nil where nothing does. No secrets, no payloads.
  package var detail: String?
  /// Of this act alone: however often the call that does it is repeated, it is written down once.
  package var number: Int64

  package init(
    _ action: AuditAction, of target: String, by actor: String, detail: String? = nil,
    number: Int64 = .random(in: .min ... .max)
  ) {
    self.actor = actor
    self.action = action
    self.target = target
    self.detail = detail
    self.number = number
  }
}

/// What was done: `thing.verb`. The names are on the wire and for ever; each is declared beside what does it.
package struct AuditAction: RawRepresentable, Sendable, Hashable {
  package let rawValue: String

  package init(rawValue: String) {
    self.rawValue = rawValue
  }

  package static let cancelTask = AuditAction(rawValue: "task.cancel")
  package static let retryTask = AuditAction(rawValue: "task.retry")
  package static let patchTask = AuditAction(rawValue: "task.patch")
  package static let replayTask = AuditAction(rawValue: "task.replay")
}

package struct AuditEntry: Sendable, Hashable {
  /// Grows from entry to entry, with gaps.
  package var sequence: Int64
  /// By the store's clock.
  package var at: Timestamp
  package var actor: String
  package var action: AuditAction
  package var target: String
  package var detail: String?

  package init(
    sequence: Int64, at: Timestamp, actor: String, action: AuditAction, target: String, detail: String?
  ) {
    self.sequence = sequence
    self.at = at
    self.actor = actor
    self.action = action
    self.target = target
    self.detail = detail
  }

  /// How long entries are kept: a year.
  package static let retention = Duration.seconds(365 * 86_400)
}

/// All given filters must hold.
package struct AuditQuery: Sendable, Hashable {
  package var actor: String?
  package var action: AuditAction?
  package var target: String?
  /// Inclusive.
  package var createdAfter: Timestamp?
  /// Exclusive.
  package var createdBefore: Timestamp?
  /// Only entries behind this place: the `next` of the page before.
  package var after: AuditPlace?
  /// 1…1000
  package var limit = 50

  package init() {}

  /// The filters applied to one entry: the meaning that every store's SQL has to match.
  package func matches(_ entry: AuditEntry) -> Bool {
    (actor.map { $0 == entry.actor } ?? true)
      && (action.map { $0 == entry.action } ?? true)
      && (target.map { $0 == entry.target } ?? true)
      && (createdAfter.map { entry.at >= $0 } ?? true)
      && (createdBefore.map { entry.at < $0 } ?? true)
      && (after.map { AuditPlace(entry) < $0 } ?? true)
  }

  /// What all of its entries stand before.
  package var end: AuditPlace {
    let bounds = [after, createdBefore.map { AuditPlace(at: $0, sequence: .min) }].compactMap(\.self)
    return bounds.min() ?? AuditPlace(at: Timestamp(milliseconds: .max), sequence: .max)
  }
}

/// Where an entry stands: by its time, then its number. Lists go from the greatest down.
package struct AuditPlace: Sendable, Hashable, Comparable {
  package var at: Timestamp
  package var sequence: Int64

  package init(at: Timestamp, sequence: Int64) {
    self.at = at
    self.sequence = sequence
  }

  package init(_ entry: AuditEntry) {
    self.init(at: entry.at, sequence: entry.sequence)
  }

  package static func < (left: AuditPlace, right: AuditPlace) -> Bool {
    (left.at, left.sequence) < (right.at, right.sequence)
  }
}

package struct AuditPage: Sendable, Hashable {
  package var entries: [AuditEntry]
  /// Where the next page begins; nil after the last.
  package var next: AuditPlace?

  package init(entries: [AuditEntry], next: AuditPlace?) {
    self.entries = entries
    self.next = next
  }
}

/// What stores say of the audit. They write it by themselves: `steer` an entry for each command that changed something, `submit`
/// one for a submission that carries a note, others as their own contracts tell.
package protocol AuditBook: Sendable {
  /// Newest first. A page may be short, even empty, while `next` is set.
  func audit(_ query: AuditQuery) async throws(StoreError) -> AuditPage

  /// Forgets at most `limit` of the entries that are this old or older; how many.
  func pruneAudit(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int
}

extension Steering {
  /// What the audit says of it once it has changed something.
  package func note(number: Int64 = .random(in: .min ... .max)) -> AuditNote {
    switch action {
    case .cancel: AuditNote(.cancelTask, of: task.description, by: actor, number: number)
    case .retry: AuditNote(.retryTask, of: task.description, by: actor, number: number)
    case .patch(let patch):
      AuditNote(.patchTask, of: task.description, by: actor, detail: patch.auditDetail, number: number)
    }
  }
}

extension TaskPatch {
  /// The fields it changes.
  fileprivate var auditDetail: String {
    var json = JSONWriter(capacity: 64)
    json.object { $0.field("fields", fields) }
    return String(decoding: json.bytes, as: UTF8.self)
  }
}
