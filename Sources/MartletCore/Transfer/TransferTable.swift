// What an installation consists of, as tables that both stores can tell and read. Each store says beside its SQL how its own tables
// make them up (`SQLiteTransferSource+Tables.swift`, `PostgresTransferTarget+Tables.swift`). In the order in which they are copied.

package enum TransferTable: String, CaseIterable, Sendable {
  case secrets
  case apiKeys = "api keys"
  case queues
  case types
  case settingsRevisions = "revisions of settings"
  case tasks
  case graphMembers = "members of graphs"
  case scheduleTasks = "tasks of schedules"
  case attempts
  case attemptLines = "log lines of running attempts"
  case events
  case results
  case dependencies
  case settlements
  case idempotencyKeys = "idempotency keys"
  case claims
  case keyLine = "lines for concurrency keys"
  case keyTurns = "turns in these lines"
  case schedules
  case audit
  case bulkJobs = "actions in bulk"
  case sinks
  case outbox
  case stream
  case notices
  /// Numbers that are never given twice.
  case marks
  /// Follows from the tasks; the stores must have come to the same.
  case counts
}

package struct TransferColumn: Sendable, Hashable {
  package enum Kind: Sendable, Hashable {
    case int
    case real
    case text
    /// What tasks say about themselves: it may hold U+0000.
    case freeText
    case bytes
    /// 16 bytes.
    case id
  }
  package var name: String
  package var kind: Kind

  fileprivate static func int(_ name: String) -> TransferColumn { TransferColumn(name: name, kind: .int) }
  fileprivate static func real(_ name: String) -> TransferColumn { TransferColumn(name: name, kind: .real) }
  fileprivate static func text(_ name: String) -> TransferColumn { TransferColumn(name: name, kind: .text) }
  fileprivate static func freeText(_ name: String) -> TransferColumn { TransferColumn(name: name, kind: .freeText) }
  fileprivate static func bytes(_ name: String) -> TransferColumn { TransferColumn(name: name, kind: .bytes) }
  fileprivate static func id(_ name: String) -> TransferColumn { TransferColumn(name: name, kind: .id) }
}

extension TransferTable {
  /// The first columns, by which rows are told apart and ordered: ids and text byte by byte.
  package var key: [TransferColumn] {
    switch self {
    case .secrets: [.text("name")]
    case .apiKeys: [.text("id")]
    case .queues: [.text("queue")]
    case .types: [.text("type")]
    case .settingsRevisions: [.int("number")]
    case .tasks: [.id("id")]
    case .graphMembers: [.id("graph"), .id("task")]
    case .scheduleTasks: [.text("schedule"), .id("task")]
    case .attempts: [.id("task"), .int("number")]
    case .attemptLines: [.id("task"), .int("attempt")]
    case .events: [.id("task"), .int("sequence")]
    case .results: [.id("task")]
    case .dependencies: [.id("parent"), .id("child")]
    case .settlements: [.id("task")]
    case .idempotencyKeys: [.text("key")]
    case .claims: [.int("number")]
    case .keyLine: [.id("task")]
    case .keyTurns: [.text("queue"), .text("key"), .text("type")]
    case .schedules: [.text("name")]
    case .audit: [.int("sequence")]
    case .bulkJobs: [.id("id")]
    case .sinks: [.int("number")]
    case .outbox: [.int("sink"), .int("number")]
    case .stream: [.int("position")]
    case .notices: [.int("number")]
    case .marks: [.text("name")]
    case .counts: [.text("queue"), .text("type"), .int("status")]
    }
  }

  package var columns: [TransferColumn] { key + rest }

  private var rest: [TransferColumn] {
    switch self {
    case .secrets: [.bytes("value")]
    case .apiKeys:
      [
        .bytes("hash"), .text("name"), .text("roles"), .text("queues"), .int("expires_at"), .int("created_at"),
        .int("last_used_at"),
      ]
    case .queues:
      [
        .int("paused"), .int("concurrency"), .int("per_key"), .real("rate"), .int("burst"), .int("max_depth"),
        .real("tokens"), .int("counted_at"), .text("notify"),
      ]
    case .types: [.int("paused"), .text("defaults")]
    case .settingsRevisions: [.int("at"), .text("actor"), .text("changes"), .text("overrides"), .int("note")]
    case .tasks: Self.body + Self.run
    case .graphMembers, .scheduleTasks: []
    case .attempts:
      [
        .text("worker"), .int("token"), .int("ready_by"), .int("ready_at"), .int("ready_sequence"), .int("started_at"),
        .int("started_sequence"), .int("finished_at"), .int("finished_sequence"), .int("outcome"), .int("status_after"),
        .int("reason"), .int("rescued"), .freeText("error_type"), .freeText("error_message"), .freeText("error_stack"),
        .text("logs"),
      ]
    case .attemptLines: [.text("lines")]
    case .events: [.int("type"), .int("at"), .text("actor"), .text("cause")]
    case .results: [.bytes("result"), .int("truncated")]
    case .dependencies: [.int("policy"), .int("met")]
    case .settlements: [.id("next")]
    case .idempotencyKeys: [.bytes("fingerprint"), .text("tasks"), .int("created_at")]
    case .claims: [.int("check_at"), .int("token"), .bytes("tasks")]
    case .keyLine:
      [
        .text("queue"), .text("key"), .text("type"), .int("urgency"), .int("available_at"), .int("admitted_at"),
        .int("give_way_at"),
      ]
    case .keyTurns: [.int("at")]
    case .schedules:
      [
        .int("revision"), .text("cron"), .text("time_zone"), .int("every_ms"), .text("misfire"), .text("overlap"),
        .int("paused"), .text("task"), .bytes("payload"), .int("created_at"), .int("updated_at"), .int("handled"),
        .int("latest_tick"), .int("look_at"), .int("last_run_at"), .id("last_task"), .text("error_kind"),
        .text("error_message"), .int("error_at"),
      ]
    case .audit: [.int("number"), .int("at"), .text("actor"), .text("action"), .text("target"), .text("detail")]
    case .bulkJobs:
      [
        .int("action"), .text("filter"), .text("queues"), .int("task_limit"), .real("rate"), .text("actor"),
        .int("status"), .int("matched"), .int("changed"), .int("failed"), .int("created_at"), .int("updated_at"),
        .int("finished_at"), .text("last_error"), .id("last"), .id("cursor"), .int("next_at"),
      ]
    case .sinks: [.text("name"), .int("attended_at")]
    case .outbox: [.id("task"), .int("first"), .int("last"), .int("at"), .int("tries"), .int("next_at")]
    case .stream:
      [
        .id("task"), .int("sequence"), .int("type"), .text("queue"), .text("task_type"), .int("at"), .bytes("event"),
      ]
    case .notices:
      [
        .id("task"), .int("sequence"), .int("place"), .text("type"), .text("queue"), .text("channel"), .text("target"),
        .text("destination"), .int("task_status"), .int("reason"), .int("attempt"), .int("max_attempts"),
        .int("started_at"), .int("status"), .int("attempts"), .int("most_attempts"), .int("created_at"),
        .int("updated_at"), .int("pending_since"), .int("next_at"), .int("is_held"), .freeText("error"),
      ]
    case .marks: [.int("value")]
    case .counts: [.int("count")]
    }
  }

  /// What was asked for.
  private static let body: [TransferColumn] = [
    .int("created_at"), .bytes("payload"), .int("retries"), .int("timeout_ms"), .int("lease_ms"), .text("backoff"),
    .int("delay_ms"), .int("run_at"), .int("expires_at"), .text("tags"), .text("metadata"), .text("traceparent"),
    .id("replay_of"), .bytes("dependencies"), .int("on_failure"), .text("ref"), .id("graph"), .text("idempotency_key"),
    .text("batch_key"), .text("concurrency_key"), .text("schedule"), .freeText("submitted_by"), .text("notify"),
  ]

  /// Where it stands.
  private static let run: [TransferColumn] = [
    .text("queue"), .text("type"), .int("status"), .int("urgency"), .int("available_at"), .int("attempt"),
    .int("max_attempts"), .int("lost"), .int("sequence"), .int("updated_at"), .int("unmet"), .int("claimable"),
    .int("cancel_requested"), .int("ready_by"), .int("ready_at"), .int("ready_sequence"), .int("started_at"),
    .int("started_sequence"), .text("worker"), .int("token"), .int("lease_until"), .int("outcome"), .int("finished_at"),
    .int("reason"), .int("has_children"), .int("notifies"), .real("progress_percent"), .freeText("progress_message"),
  ]
}
