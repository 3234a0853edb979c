// The schema, in numbered steps that are never changed once released. `PostgresStore.open` applies what is missing; of many
// nodes that start at once one does it and the others wait for it.

internal import MartletCore

/// One step of the schema.
struct Migration: Sendable {
  /// They are applied in the order of their names.
  let name: String
  let sql: String
  /// The last step that a node has to know to work beside this one; nil where no older node can. A step that has it only adds: what
  /// older nodes read and write keeps its place and its meaning.
  let worksBeside: String?
}

struct Migrations: Sendable {
  private static let all: [(name: String, sql: [UInt8])] = [
    ("V0001_tasks", PackageResources.V0001_tasks_sql),
    ("V0002_dependencies", PackageResources.V0002_dependencies_sql),
    ("V0003_limits", PackageResources.V0003_limits_sql),
    ("V0004_schedules", PackageResources.V0004_schedules_sql),
    ("V0005_audit_and_bulk", PackageResources.V0005_audit_and_bulk_sql),
    ("V0006_api_keys", PackageResources.V0006_api_keys_sql),
    ("V0007_attempt_lines", PackageResources.V0007_attempt_lines_sql),
    ("V0008_submitters", PackageResources.V0008_submitters_sql),
    ("V0009_outbox", PackageResources.V0009_outbox_sql),
    ("V0010_stream", PackageResources.V0010_stream_sql),
    ("V0011_notices", PackageResources.V0011_notices_sql),
    ("V0012_settings", PackageResources.V0012_settings_sql),
    ("V0013_transfers", PackageResources.V0013_transfers_sql),
  ]

  /// The release before this one knows the first step alone, and cannot work beside the others.
  static let known = all.map { step in
    Migration(name: step.name, sql: String(decoding: step.sql, as: UTF8.self), worksBeside: nil)
  }

  let pool: ConnectionPool
  let schema: String
  /// What this node knows. Tests have more.
  let steps: [Migration]

  /// How long a start waits for a server that is there but has no connection to spare just then.
  private static let patience = Duration.seconds(20)

  /// Applies what is missing.
  func run() async throws {
    let deadline = ContinuousClock.now + Self.patience
    while true {
      do {
        return try await attempt()
      } catch let failure as PostgresFailure {
        if case .refused = failure { throw failure }
        guard ContinuousClock.now < deadline else { throw failure }
      }
    }
  }

  private func attempt() async throws {
    let applied = try await applied()
    let missing = steps.filter { !applied.contains($0.name) }
    if !applied.isEmpty, let step = missing.first(where: { !$0.worksBeside(applied.last) }) {
      try await refuseBesideOthers(step)
    }
    for step in missing { try await apply(step) }
    try await checkRights()
  }

  /// Older nodes would go on in a schema that they do not understand.
  private func refuseBesideOthers(_ step: Migration) async throws {
    let workers = try await pool.run(Query(Self.readLiving, .int8(WorkerRecord.lifetime.wholeMilliseconds)))
      .map { $0.text() }
    guard let first = workers.first else { return }
    throw StoreError.unusable(
      "the schema \(schema) has to be changed (\(step.name)) in a way that older versions do not understand, and workers live (\(first)\(workers.count > 1 ? " and \(workers.count - 1) more" : "")): stop all nodes, wait for half a minute, and start again"
    )
  }

  private func apply(_ step: Migration) async throws(PostgresFailure) {
    do throws(PostgresFailure) {
      try await pool.script(script(step))
    } catch {
      // Another node was first: the name stands in the table already.
      guard case .refused(let state, _) = error, state == "23505" else { throw error }
    }
  }

  /// What the schema has; throws if a newer martlet has been here, or somebody else.
  func applied() async throws -> [String] {
    let found = try await pool.run(Query(Self.look, .text(schema))).first { columns in
      (hasTable: columns.bool(), hasOthers: columns.bool())
    }
    guard let found, found.hasTable else {
      if found?.hasOthers == true {
        throw StoreError.unusable(
          "the schema \(schema) holds another program's tables; choose another by database.schema")
      }
      return []
    }
    let applied = try await rows()
    let mine = steps.last?.name
    let newer = applied.first { step in
      !steps.contains { $0.name == step.name } && !step.worksBeside(mine)
    }
    if let newer {
      throw StoreError.unusable(
        "the schema \(schema) was written by a newer martlet (\(newer.name)); use that version or a newer one")
    }
    return applied.map(\.name)
  }

  private func rows() async throws -> [Migration] {
    do throws(PostgresFailure) {
      return try await pool.run(Query(Self.readApplied)).map { columns in
        Migration(name: columns.text(), sql: "", worksBeside: columns.optionalText())
      }
    } catch {
      // It is there, but a schema that may not be used cannot be seen into.
      guard case .refused(let state, _) = error, state == "42P01" else { throw error }
      throw StoreError.unusable(
        "the role may not use the schema \(schema): GRANT USAGE ON SCHEMA \(schema) TO the role, and rights on its tables"
      )
    }
  }

  private func script(_ step: Migration) -> String {
    """
    BEGIN;
    SELECT pg_advisory_xact_lock(\(lockNumber));
    DO $$ BEGIN
      IF to_regnamespace('"\(schema)"') IS NULL THEN CREATE SCHEMA "\(schema)"; END IF;
    END $$;
    SET LOCAL search_path = "\(schema)";
    SET LOCAL client_min_messages = warning;
    CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
    ALTER TABLE migrations ADD COLUMN IF NOT EXISTS works_beside text;
    INSERT INTO migrations (name, works_beside) VALUES ('\(step.name)', \(step.worksBeside.map { "'\($0)'" } ?? "NULL"));
    \(step.sql)
    COMMIT;
    """
  }

  /// One number per schema: FNV-1a.
  private var lockNumber: Int64 {
    let hash = "martlet.\(schema)".utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3
    }
    return Int64(bitPattern: hash)
  }

  /// Better now than at the first task.
  private func checkRights() async throws {
    let missing = try await pool.run(Query(Self.readMissingRights)).map { "\($0.text()) on \($0.text())" }
    guard let first = missing.first else { return }
    throw StoreError.unusable(
      "the role lacks rights in the schema \(schema): \(first)\(missing.count > 1 ? " and \(missing.count - 1) more" : "")"
    )
  }

  private static let look = Statement(
    "look_for_migrations",
    """
    SELECT coalesce(bool_or(c.relname = 'migrations'), false), count(*) > 0
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1::text AND c.relkind IN ('r', 'v', 'p')
    """)

  /// The first release had no word for it.
  private static let readApplied = Statement(
    "read_migrations",
    "SELECT m.name, to_jsonb(m) ->> 'works_beside' FROM migrations m ORDER BY m.name COLLATE \"C\"")

  private static let readLiving = Statement(
    "read_living_workers",
    """
    SELECT id FROM workers WHERE last_seen_at > floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1::bigint
    ORDER BY id
    """)

  private static let readMissingRights = Statement(
    "read_missing_rights",
    """
    SELECT r.name, c.relname
    FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS r(name)
    WHERE c.relnamespace = to_regnamespace(quote_ident(current_schema())) AND c.relkind = 'r'
      AND NOT has_table_privilege(c.oid, r.name)
    ORDER BY c.relname, r.name
    """)
}

extension Migration {
  /// Whether a node whose last step is this one can work in a schema that has this migration.
  fileprivate func worksBeside(_ step: String?) -> Bool {
    guard let worksBeside, let step else { return false }
    return worksBeside <= step
  }
}
