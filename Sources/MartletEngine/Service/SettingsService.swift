// Overrides of settings for all nodes: read, changed, taken back. `TaskService` has one; the routes of `/settings` ask it. What settings
// there are, and whether a configuration is right, the composition root says (`SettingsPanel`).

package import MartletCore

/// What is known of a node's settings where they are known.
package protocol SettingsPanel: Sendable {
  var state: SettingsState { get }

  /// What is wrong with the whole configuration of this node if these were the overrides, beyond what is wrong with it now.
  /// - Parameter changed: keys whose values are new.
  func problems(with overrides: [String: String], changed: Set<String>) async -> [SettingFault]

  /// Takes a revision over, unless this node has that one or a later one.
  func take(_ revision: SettingsRevision) async
}

/// All settings of a node, as they may be shown: without secrets.
package struct SettingsState: Sendable {
  /// The revision of the overrides that is in force here; 0 for none.
  package var revision: Int
  package var settings: [Row]
  /// Changed since the start, and waiting for a restart.
  package var waiting: [String]
  /// Why the configuration as it stands now is not in force; empty where it is.
  package var problems: [String]

  package struct Row: Sendable {
    package var key: String
    /// JSON, as are the next two.
    package var value: [UInt8]
    /// What the fleet's override says, whether or not it counts here.
    package var override: [UInt8]?
    /// What it will be after a restart, where that is something else.
    package var next: [UInt8]?
    package var source: String
    package var needsRestart: Bool
    /// It may be set for all nodes.
    package var isOverridable: Bool

    package init(
      key: String, value: [UInt8], override: [UInt8]?, next: [UInt8]?, source: String, needsRestart: Bool,
      isOverridable: Bool
    ) {
      self.key = key
      self.value = value
      self.override = override
      self.next = next
      self.source = source
      self.needsRestart = needsRestart
      self.isOverridable = isOverridable
    }
  }

  package init(revision: Int = 0, settings: [Row] = [], waiting: [String] = [], problems: [String] = []) {
    self.revision = revision
    self.settings = settings
    self.waiting = waiting
    self.problems = problems
  }
}

package struct SettingFault: Sendable, Hashable {
  /// Nil where it is about no single setting.
  package var key: String?
  /// The rest of a sentence.
  package var detail: String

  package init(key: String?, detail: String) {
    self.key = key
    self.detail = detail
  }
}

/// Where there is nothing to be set.
struct NoSettings: SettingsPanel {
  var state: SettingsState { SettingsState() }

  func problems(with overrides: [String: String], changed: Set<String>) -> [SettingFault] {
    changed.sorted().map { SettingFault(key: $0, detail: "is not a known setting") }
  }

  func take(_ revision: SettingsRevision) {}
}

package struct SettingsService: Sendable {
  private let parts: EngineParts
  private let panel: any SettingsPanel

  /// Of changes that meet others at the same time.
  private static let tries = 20

  init(_ parts: EngineParts, _ panel: any SettingsPanel) {
    self.parts = parts
    self.panel = panel
  }

  /// As they are on this node.
  package var state: SettingsState { panel.state }

  /// Sets overrides for all nodes; nil takes one away. Counts on this node when it returns, on the others within two seconds.
  /// - Parameters:
  ///   - changes: values as JSON, by key.
  ///   - pointers: where each key stands in the request.
  ///   - others: what is wrong with the request besides.
  /// - Throws: `.invalid` with every problem.
  package func change(
    _ changes: [String: String?], at pointers: [String: String], others: [ValidationProblem] = [], actor: String
  ) async throws(ServiceError) {
    if !others.isEmpty {
      let latest = try await latest()
      let new = NewSettingsRevision(
        changes, to: latest?.overrides ?? [:], of: latest?.number ?? 0, by: actor)
      throw .invalid(ValidationFailure(others + (await problems(with: new, at: pointers))))
    }
    try await revise(actor: actor, restored: nil, at: pointers) { latest in
      changes.filter { key, value in latest?.overrides[key] != value }
    }
  }

  /// Brings the overrides of an earlier revision back, as a new one; 0 is none at all.
  /// - Parameter number: nil is the one before the latest.
  /// - Throws: `.notFound` for a revision that is not kept, `.invalid` where its values are not right any more.
  package func restore(_ number: Int?, actor: String) async throws(ServiceError) {
    let earlier = try await latest().map { $0.number - 1 }
    guard let number = number ?? earlier else { throw .notFound }
    var wanted: [String: String] = [:]
    if number > 0 {
      let kept = try await store("settings-revisions") { (store) throws(StoreError) in
        try await store.settingsRevisions(before: number + 1, limit: 1)
      }
      wanted = try found(kept.first.flatMap { $0.number == number ? $0.overrides : nil })
    }
    try await revise(actor: actor, restored: number, at: [:]) { latest in
      let now = latest?.overrides ?? [:]
      var changes: [String: String?] = [:]
      for key in Set(now.keys).union(wanted.keys) where now[key] != wanted[key] {
        changes.updateValue(wanted[key], forKey: key)
      }
      return changes
    }
  }

  /// The latest first.
  package func revisions(before number: Int?, limit: Int) async throws(ServiceError) -> [SettingsRevision] {
    try await store("settings-revisions") { (store) throws(StoreError) in
      try await store.settingsRevisions(before: number, limit: limit)
    }
  }

  /// - Parameter changes: what to change of the latest revision; asked again where another was quicker.
  private func revise(
    actor: String, restored: Int?, at pointers: [String: String],
    _ changes: (SettingsRevision?) -> [String: String?]
  ) async throws(ServiceError) {
    for _ in 1...Self.tries {
      let latest = try await latest()
      let changes = changes(latest)
      guard !changes.isEmpty else { return }
      let new = NewSettingsRevision(
        changes, to: latest?.overrides ?? [:], of: latest?.number ?? 0, by: actor, restored: restored)
      let problems = await problems(with: new, at: pointers)
      guard problems.isEmpty else { throw .invalid(ValidationFailure(problems)) }
      let verdict = try await store("write-settings") { (store) throws(StoreError) in try await store.write(new) }
      guard case .written(let revision) = verdict else { continue }
      await panel.take(revision)
      parts.wakeUp.settingsChanged()
      return
    }
    throw .store(.unavailable("the settings are being changed by others; try again"), tasks: [])
  }

  private func problems(with new: NewSettingsRevision, at pointers: [String: String]) async -> [ValidationProblem] {
    let changed = Set(new.changes.compactMap { $0.value == nil ? nil : $0.key })
    var problems = Problems()
    for fault in await panel.problems(with: new.overrides, changed: changed) {
      if let key = fault.key, let pointer = pointers[key] {
        problems.add(pointer, fault.detail)
      } else {
        problems.add("", [fault.key, fault.detail].compactMap(\.self).joined(separator: " "))
      }
    }
    return problems.all
  }

  private func latest() async throws(ServiceError) -> SettingsRevision? {
    try await store("settings-revision") { (store) throws(StoreError) in try await store.settingsRevision(after: 0) }
  }

  private func found<Value>(_ value: Value?) throws(ServiceError) -> Value {
    guard let value else { throw .notFound }
    return value
  }

  private func store<Value: Sendable>(
    _ operation: String, _ call: (any TaskStore) async throws(StoreError) -> Value
  ) async throws(ServiceError) -> Value {
    do throws(StoreError) {
      return try await parts.timed(operation) { () throws(StoreError) in try await call(parts.store) }
    } catch {
      throw .store(error, tasks: [])
    }
  }
}
