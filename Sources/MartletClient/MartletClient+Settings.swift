// Settings of a server, and those that are set for all nodes; for administrators.

public import MartletCore

/// The settings of the node that answered.
public struct SettingsSheet: Sendable, Hashable {
  public struct Setting: Sendable, Hashable {
    public var key: String
    /// JSON, as is the next; secrets are hidden.
    public var value: [UInt8]
    /// What is set for all nodes; nil where nothing is.
    public var override: [UInt8]?
    /// `--port`, `MARTLET_SERVER_PORT`, `fleet`, `martlet.yaml:12`, `default`.
    public var source: String
    public var needsRestart: Bool
    /// It can be set for all nodes.
    public var isOverridable: Bool

    init(_ reader: ObjectReader) throws(MartletClientError) {
      key = try reader.required("key", reader.text("key"))
      value = try reader.required("value", reader.raw("value"))
      override = reader.has("override") ? reader.raw("override") : nil
      source = try reader.required("source", reader.text("source"))
      needsRestart = try reader.bool("needsRestart") ?? false
      isOverridable = try reader.bool("overridable") ?? false
    }
  }

  /// Of what is set for all nodes; 0 where nothing ever was.
  public var revision: Int
  public var settings: [Setting]
  /// Changed, and waiting for a restart of the node.
  public var waitingForRestart: [String]
  /// Why the node's configuration as it stands now is not in force.
  public var problems: [String]
  /// The whole object as it came.
  public var json: [UInt8]

  package init(_ answer: Answer) throws(MartletClientError) {
    let reader = try Reading.object(answer)
    revision = try reader.required("revision", reader.int("revision"))
    settings = try reader.objects("settings", Setting.init)
    waitingForRestart = try reader.texts("waitingForRestart")
    problems = try reader.texts("problems")
    json = answer.json
  }
}

/// One change of what is set for all nodes.
public struct SettingsRevisionRecord: Sendable, Hashable {
  public var revision: Int
  public var at: Timestamp
  public var actor: String
  /// JSON objects: what it changed (`null` where something was taken away), and all that was in force then.
  public var changes: [UInt8]
  public var overrides: [UInt8]
  /// The whole object as it came.
  public var json: [UInt8]

  init(_ reader: ObjectReader) throws(MartletClientError) {
    revision = try reader.required("revision", reader.int("revision"))
    at = try reader.required("at", reader.time("at"))
    actor = try reader.required("actor", reader.text("actor"))
    changes = try reader.required("changes", reader.raw("changes"))
    overrides = try reader.required("overrides", reader.raw("overrides"))
    json = reader.slice.bytes
  }
}

/// A part of these changes, the latest first.
public struct SettingsRevisionPage: Sendable, Hashable {
  public var revisions: [SettingsRevisionRecord]
  /// Where the next page begins; nil after the last.
  public var nextCursor: String?

  init(_ answer: Answer) throws(MartletClientError) {
    revisions = try Reading.data(answer, SettingsRevisionRecord.init)
    nextCursor = try Reading.object(answer).text("nextCursor")
  }
}

extension MartletClient {
  public func settings() async throws -> SettingsSheet {
    try SettingsSheet(await answer(to: .settings))
  }

  /// Sets settings for all nodes: within two seconds they count everywhere, but for those that need a restart.
  /// - Parameter changes: text by key, as in the environment; nil leaves each node to its own configuration again.
  /// - Returns: the settings of the node that was asked, as they are then.
  /// - Throws: `problem` with status 422 where a value is not right, or does not go with the others.
  public func changeSettings(_ changes: [String: String?]) async throws -> SettingsSheet {
    try SettingsSheet(await answer(to: .changeSettings(changes)))
  }

  /// The latest first.
  /// - Parameter limit: 1…1000.
  public func settingsRevisions(limit: Int = 50, after cursor: String? = nil) async throws -> SettingsRevisionPage {
    try SettingsRevisionPage(await answer(to: .settingsRevisions(limit: limit, cursor: cursor)))
  }

  /// Brings back what was set for all nodes at an earlier revision, as a new one.
  /// - Parameter revision: 0 is nothing at all.
  public func revertSettings(to revision: Int) async throws -> SettingsSheet {
    try SettingsSheet(await answer(to: .revertSettings(to: revision)))
  }
}

extension Call {
  package static let settings = Call(method: .get, path: "/settings")

  package static func changeSettings(_ changes: [String: String?]) -> Call {
    var json = JSONWriter()
    json.object { json in
      for (key, value) in changes.sorted(by: { $0.key < $1.key }) { json.field(key, value) }
    }
    // Twice the same is once.
    return Call(method: .patch, path: "/settings", body: json.bytes, isRepeatable: true)
  }

  package static func settingsRevisions(limit: Int, cursor: String?) -> Call {
    var call = Call(method: .get, path: "/settings/revisions", query: [("limit", String(limit))])
    if let cursor { call.query.append(("cursor", cursor)) }
    return call
  }

  /// - Parameter revision: nil is the one before the latest, which a repetition would find changed.
  package static func revertSettings(to revision: Int?) -> Call {
    var json = JSONWriter()
    json.object { json in
      if let revision { json.field("revision", revision) }
    }
    return Call(
      method: .post, path: "/settings/revert", body: json.bytes, isRepeatable: revision != nil)
  }
}
