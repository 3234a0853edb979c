// Settings that all nodes of an installation share: what the database says of them before anything that a node was given itself.
// Part of what a store keeps. What the settings are, and whether values are right, is the composition root's business.

package protocol SettingsBook: Sendable {
  /// The latest revision, if its number is above `number`; nil where it is not, and where there never was one. Costs next to
  /// nothing.
  func settingsRevision(after number: Int) async throws(StoreError) -> SettingsRevision?

  /// Makes the next revision and writes it to the audit, if the latest is the one that `new` follows; else nothing is written. Of
  /// several at once that follow the same, on any nodes, one is written. The same again is answered as the first time, as long as it
  /// is kept. The latest `SettingsRevision.kept` stay.
  func write(_ new: NewSettingsRevision) async throws(StoreError) -> SettingsVerdict

  /// The latest first, those before a number; 1…1000 of them.
  func settingsRevisions(before number: Int?, limit: Int) async throws(StoreError) -> [SettingsRevision]
}

/// What the overrides of an installation were, all of them, from a change on until the next.
package struct SettingsRevision: Sendable, Hashable {
  /// From 1, without a gap.
  package var number: Int
  package var at: Timestamp
  package var actor: String
  /// What it changed: values as JSON by key, nil where an override was taken away.
  package var changes: [String: String?]
  /// All that are in force, as JSON by key.
  package var overrides: [String: String]

  package static let kept = 1000

  package init(
    number: Int, at: Timestamp, actor: String, changes: [String: String?], overrides: [String: String]
  ) {
    self.number = number
    self.at = at
    self.actor = actor
    self.changes = changes
    self.overrides = overrides
  }
}

package struct NewSettingsRevision: Sendable, Hashable {
  /// The number of the revision that it changes; 0 for none.
  package var base: Int
  package var changes: [String: String?]
  package var overrides: [String: String]
  /// Who, and what the audit says.
  package var note: AuditNote

  /// - Parameters:
  ///   - changes: to the overrides of `base`; values as JSON, nil takes one away.
  ///   - restored: the number of the revision whose overrides they bring back.
  package init(
    _ changes: [String: String?], to overrides: [String: String], of base: Int, by actor: String, restored: Int? = nil
  ) {
    self.base = base
    self.changes = changes
    self.overrides = overrides
    for (key, value) in changes { self.overrides[key] = value }
    var detail = JSONWriter(capacity: 128)
    detail.object { json in
      if let restored { json.field("restored", restored) }
      json.name("changes")
      json.raw(Array(OverrideColumn.text(changes).utf8))
    }
    note = AuditNote(
      .updateSettings, of: "revision-\(base + 1)", by: actor, detail: String(decoding: detail.bytes, as: UTF8.self))
  }

  package func written(at time: Timestamp) -> SettingsRevision {
    SettingsRevision(number: base + 1, at: time, actor: note.actor, changes: changes, overrides: overrides)
  }
}

package enum SettingsVerdict: Sendable, Hashable {
  case written(SettingsRevision)
  /// Another revision is the latest; nothing was changed.
  case outdated
}

extension AuditAction {
  package static let updateSettings = AuditAction(rawValue: "settings.update")
}

/// How overrides stand in a column: one JSON object, in order of the keys.
package enum OverrideColumn {
  package static func text(_ values: [String: String?]) -> String {
    var json = JSONWriter(capacity: 256)
    json.object { json in
      for (key, value) in values.sorted(by: { $0.key < $1.key }) {
        json.name(key)
        json.raw(Array((value ?? "null").utf8))
      }
    }
    return String(decoding: json.bytes, as: UTF8.self)
  }

  package static func changes(_ column: String) throws -> [String: String?] {
    guard let members = try JSONScanner.scan(Array(column.utf8)).members else { throw UnreadableRow(what: column) }
    return Dictionary(
      members.map { ($0.name, $0.value.isNull ? nil : String(decoding: $0.value.bytes, as: UTF8.self)) },
      uniquingKeysWith: { $1 })
  }

  package static func overrides(_ column: String) throws -> [String: String] {
    try changes(column).compactMapValues(\.self)
  }
}
