// Opening a schema: made once by whoever comes first, refused where it cannot be trusted.

import Foundation
import MartletCore
import MartletTestKit
import PostgresServer
import Testing

@testable import MartletPostgres

@Suite struct OpeningTests {
  @Test func `ten nodes that start at once make the schema once, and all open it`() async throws {
    var patient = try await Nodes.options()
    patient.answerWithin = .seconds(900)  // each waits for the others, and the machine may be at work besides
    let options = patient
    let nodes = try await withThrowingTaskGroup(of: PostgresStore.self) { group in
      for _ in 0..<10 { group.addTask { try await PostgresStore.open(options) } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    for node in nodes {
      try await node.check()
      await node.close()
    }
    let (known, applied) = try await PostgresStore.migrationStatus(options)
    #expect(known == applied && !known.isEmpty)
  }

  @Test func `a fresh database has no migrations, and asking makes none`() async throws {
    let options = try await Nodes.options()
    #expect(try await PostgresStore.migrationStatus(options).applied == [])
    #expect(try await PostgresServer.shared.query("SELECT to_regnamespace('\(options.schema)') IS NULL") == [["t"]])
  }

  @Test func `a schema of a newer martlet is refused`() async throws {
    let options = try await Nodes.options()
    try await PostgresStore.migrate(options)
    _ = try await PostgresServer.shared.query("INSERT INTO \(options.schema).migrations (name) VALUES ('V9999_future')")
    await refuses(options, "the schema \(options.schema) was written by a newer martlet (V9999_future)")
  }

  /// What a next release may bring: tables, columns with a default, triggers.
  private static let addition = Migration(
    name: "V9001_addition",
    sql: """
      ALTER TABLE task_runs ADD COLUMN shade smallint NOT NULL DEFAULT 0;
      CREATE TABLE shades (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
      CREATE FUNCTION note_shade() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
      BEGIN INSERT INTO shades (id) VALUES (NEW.id); RETURN NULL; END $$;
      CREATE TRIGGER task_runs_shade AFTER INSERT ON task_runs FOR EACH ROW EXECUTE FUNCTION note_shade();
      """,
    worksBeside: Migrations.known.last?.name)

  @Test func `a release whose step only adds works beside the one before it, and that one starts again`() async throws {
    let options = try await Nodes.options()
    var nextOptions = options
    nextOptions.migrations.append(Self.addition)
    let old = try await PostgresStore.open(options)
    try await old.register(.stub())
    for number in 1...20 { try await old.submitStub(.stub(number)) }
    let claimed = try await old.claimStub(limit: 10)
    let next = try await PostgresStore.open(nextOptions)
    let again = try await PostgresStore.open(options)
    #expect(try await PostgresStore.migrationStatus(options).applied.last == Self.addition.name)
    for node in [old, again] { try await node.submitStub(.stub(node === old ? 21 : 22)) }
    try await next.submitStub(.stub(23))
    let byOthers = try await again.claimStub(limit: 6) + next.claimStub(limit: 20)
    #expect(claimed.count + byOthers.count == 23)
    let finishes = (claimed + byOthers).map { Finish(lease: $0.lease, outcome: .success, randomness: 0) }
    for (place, finish) in finishes.enumerated() {
      let verdict = try await [old, next, again][place % 3].finish([finish])
      #expect(verdict.allSatisfy { if case .applied = $0 { true } else { false } })
    }
    #expect(try await next.number("SELECT count(*) FROM shades") == 3)
    for node in [old, next, again] { await node.close() }
  }

  @Test func `a step that older nodes do not understand waits until they are gone, and then they are refused`()
    async throws
  {
    let options = try await Nodes.options()
    var nextOptions = options
    nextOptions.migrations.append(
      Migration(name: "V9002_change", sql: "ALTER TABLE task_runs ADD COLUMN shade smallint;", worksBeside: nil))
    let old = try await PostgresStore.open(options)
    try await old.register(.stub())
    await refuses(nextOptions, "workers live (worker-1): stop all nodes")
    try await old.unregister(worker: "worker-1")
    await old.close()
    try await PostgresStore.migrate(nextOptions)
    await refuses(options, "was written by a newer martlet (V9002_change)")
  }

  @Test func `a node too old for a step that only adds is refused as well`() async throws {
    var options = try await Nodes.options()
    var nextOptions = options
    nextOptions.migrations.append(Self.addition)
    try await PostgresStore.migrate(nextOptions)
    options.migrations.removeLast()
    await refuses(options, "was written by a newer martlet")
  }

  @Test func `a schema that holds somebody else's tables is refused and left alone`() async throws {
    let options = try await Nodes.options()
    _ = try await PostgresServer.shared.query(
      "CREATE SCHEMA \(options.schema); CREATE TABLE \(options.schema).orders (id integer)")
    await refuses(options, "holds another program's tables")
    #expect(try await PostgresStore.migrationStatusIsRefused(options))
  }

  @Test func `a role that may not create the schema is told so`() async throws {
    var options = try await Nodes.options()
    _ = try await PostgresServer.shared.query("CREATE ROLE \(options.schema)_role LOGIN")
    options.url = try await PostgresServer.shared.url(user: "\(options.schema)_role")
    await refuses(options, "the role lacks rights")
  }

  @Test func `a role that may not look into the schema is told so`() async throws {
    var options = try await Nodes.options()
    try await PostgresStore.migrate(options)
    _ = try await PostgresServer.shared.query("CREATE ROLE \(options.schema)_role LOGIN")
    options.url = try await PostgresServer.shared.url(user: "\(options.schema)_role")
    await refuses(options, "the role may not use the schema \(options.schema)")
  }

  @Test func `a role that may not write is told so`() async throws {
    var options = try await Nodes.options()
    try await PostgresStore.migrate(options)
    let role = "\(options.schema)_role"
    _ = try await PostgresServer.shared.query(
      """
      CREATE ROLE \(role) LOGIN; GRANT USAGE ON SCHEMA \(options.schema) TO \(role);
      GRANT SELECT ON ALL TABLES IN SCHEMA \(options.schema) TO \(role)
      """)
    options.url = try await PostgresServer.shared.url(user: role)
    await refuses(options, "the role lacks rights in the schema \(options.schema)")
  }

  @Test func `a role that owns nothing but may use everything is welcome`() async throws {
    var options = try await Nodes.options()
    try await PostgresStore.migrate(options)
    let role = "\(options.schema)_role"
    _ = try await PostgresServer.shared.query(
      """
      CREATE ROLE \(role) LOGIN; GRANT USAGE ON SCHEMA \(options.schema) TO \(role);
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \(options.schema) TO \(role)
      """)
    options.url = try await PostgresServer.shared.url(user: role)
    let node = try await PostgresStore.open(options)
    try await node.submitStub(.stub(1))
    #expect(try await node.claimStub().count == 1)
    await node.close()
  }

  @Test func `a server that does not wait for the disk is refused unless that is wanted`() async throws {
    var options = try await Nodes.options()
    options.durability = .strict
    await refuses(options, "fsync = off")
  }

  @Test func `a server that does not write whole pages is refused unless that is wanted`() async throws {
    let server = try await PostgresServer.start(settings: ["full_page_writes": "off"])
    var options = PostgresStore.Options(url: server.url())
    await refuses(options, "full_page_writes = off")
    options.durability = .relaxed
    let node = try await PostgresStore.open(options)
    try await node.check()
    await node.close()
    await server.remove()
  }

  @Test func `a schema of the first release is brought up to this one, and its tasks go on`() async throws {
    let options = try await Nodes.options()
    _ = try await PostgresServer.shared.query(
      """
      CREATE SCHEMA \(options.schema); SET search_path = \(options.schema);
      CREATE TABLE migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
      INSERT INTO migrations (name) VALUES ('V0001_tasks'); \(try Self.firstMigration()); \(Self.oneOfEachStatus)
      """)
    #expect(try await PostgresStore.migrationStatus(options).applied == ["V0001_tasks"])
    let node = try await PostgresStore.open(options)
    let (known, applied) = try await PostgresStore.migrationStatus(options)
    #expect(known == applied)
    let found = try await node.tasks((1...7).map { .stub($0) })
    #expect(found.map { $0?.status } == [.pending, .ready, .running, .retry, .success, .dead, .cancelled])
    #expect(found.allSatisfy { $0?.dependencies == [] && $0?.onDependencyFailure == .hold && $0?.graphID == nil })

    var child = AcceptedTask.stub(8)
    child.dependencies = [3, 5, 6].map { .stub($0) }
    child.graph = .joinsFirstDependency(orElse: .stub(100))
    _ = try await node.submit([Submission([child])])
    #expect(try await node.promote(limit: 10).promoted == 2)
    for id in [6, 7] {
      _ = try await node.steer([Steering(.retry, task: .stub(id), actor: "key-1")])
    }
    let running = LeaseID(task: .stub(3), attempt: 1, token: 7)
    var finishes = [Finish(lease: running, outcome: .success, randomness: 0)]
    finishes += try await node.claimStub(limit: 10).map { Finish(lease: $0.lease, outcome: .success, randomness: 0) }
    #expect(finishes.count == 6)
    #expect(try await node.finish(finishes).allSatisfy { $0 == .applied(.success) })
    #expect(try await node.claimStub().map(\.id) == [child.id])
    #expect(try await node.graph(.stub(100))?.members.map(\.id) == [.stub(3), child.id])
    #expect(try await node.counts().map(\.count).sorted() == [1, 7])
    await node.close()
  }

  private static func firstMigration() throws -> String {
    let place = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../../Sources/MartletPostgres/Migrations/V0001_tasks.sql").standardizedFileURL
    return try String(contentsOf: place, encoding: .utf8)
  }

  /// As the first release wrote them. PENDING and RETRY are due; the lease of the running one stands.
  private static let oneOfEachStatus = """
    INSERT INTO lanes (queue, type, urgency, suspect) VALUES ('default', 'resize', 5, false);
    CREATE TEMPORARY TABLE made AS
      SELECT n::smallint AS status, ('00000000-000' || n || '-7000-8000-000000000000')::uuid AS id,
        floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at
      FROM generate_series(1, 7) n;
    INSERT INTO task_bodies (id, created_at, payload, retries, backoff)
      SELECT id, at, '{}', 3, 'fixed 1.0 2.0 3600.0 0.0' FROM made;
    INSERT INTO task_runs (id, available_at, updated_at, due_at, ready_at, started_at, finished_at, lease_until, token, lane,
        attempt, max_attempts, sequence, ready_sequence, started_sequence, timeout_ms, lease_ms, status, outcome, reason, claimable,
        is_dead, worker)
      SELECT id, at, at, CASE WHEN status IN (1, 4) THEN at END, CASE WHEN status <> 1 THEN at END,
        CASE WHEN status IN (3, 4, 5, 6) THEN at END, CASE WHEN status >= 5 THEN at END,
        CASE WHEN status = 3 THEN at + 600000 END, CASE WHEN status IN (3, 4, 5, 6) THEN 7 END, 1,
        CASE WHEN status IN (3, 4, 5, 6) THEN 1 ELSE 0 END, 4, (ARRAY[1, 2, 3, 5, 4, 5, 3])[status],
        CASE WHEN status IN (2, 3, 5, 7) THEN 2 ELSE 0 END, CASE WHEN status IN (3, 5) THEN 3 ELSE 0 END, 300000, 30000,
        status, CASE status WHEN 4 THEN 2 WHEN 5 THEN 1 WHEN 6 THEN 2 END, CASE status WHEN 6 THEN 2 WHEN 7 THEN 4 END,
        status = 2, status = 6, CASE WHEN status IN (3, 4, 5, 6) THEN 'worker-1' END
      FROM made;
    INSERT INTO attempts (task, number, token, ready_at, started_at, finished_at, ready_sequence, started_sequence,
        finished_sequence, ready_by, outcome, status_after, reason, rescued, worker, error_type, error_message)
      SELECT id, 1, 7, at, at, at, 2, 3, 4, 0, 2, status, CASE status WHEN 6 THEN 2 END, false, 'worker-1', 'HTTP_503', 'no room'
      FROM made WHERE status IN (4, 6);
    INSERT INTO events (task, sequence, type, at, actor, cause)
      SELECT id, 3, 8, at, 'key-1', 'REQUESTED' FROM made WHERE status = 7;
    INSERT INTO claims (check_at, token, tasks) SELECT at + 600000, 7, ARRAY[id] FROM made WHERE status = 3;
    INSERT INTO count_changes (lane, old, new, count) SELECT 1, 0, status, 1 FROM made
    """

  private func refuses(_ options: PostgresStore.Options, _ words: String) async {
    let error = await #expect(throws: StoreError.self) { await (try await PostgresStore.open(options)).close() }
    guard case .unusable(let message) = error else {
      Issue.record("throws \(String(describing: error))")
      return
    }
    #expect(message.contains(words))
    #expect(!message.contains("\n"))
  }
}

extension PostgresStore {
  fileprivate static func migrationStatusIsRefused(_ options: Options) async throws -> Bool {
    do {
      _ = try await migrationStatus(options)
      return false
    } catch {
      return true
    }
  }
}
