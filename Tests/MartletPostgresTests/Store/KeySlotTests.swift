// Slots of concurrency keys where several nodes admit, claim and end at the same instant, and where a schema had tasks with keys
// before there were any.

import Foundation
import MartletCore
import MartletTestKit
import PostgresServer
import Synchronization
import Testing

@testable import MartletPostgres

@Suite(.timeLimit(.minutes(10))) struct KeySlotTests {
  private static func task(_ number: Int, key: String, type: String = "resize", queue: String = "default")
    -> AcceptedTask
  {
    var task = AcceptedTask.stub(number, type: type, queue: queue, retries: 1)
    task.concurrencyKey = key
    return task
  }

  @Test func `two nodes at once never run more of a key than it has slots, whatever ends attempts`() async throws {
    try await Nodes.run(2) { nodes in
      let (total, slots, keys) = (1200, 2, 10)
      try await nodes[0].set { $0.concurrencyPerKey = .value(slots) }
      for start in stride(from: 1, to: total, by: 100) {
        _ = try await nodes[1].submit(
          [
            Submission(
              (start..<start + 100).map {
                Self.task($0, key: "k\($0 % keys)", type: ["resize", "other"][$0 / keys % 2])
              })
          ])
      }
      let isOver = Flag()
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<4 {
          group.addTask {
            let node = nodes[worker % 2]
            while !isOver.isSet {
              _ = try await node.admit(limit: 7)
              let claimed = try await node.claimStub(limit: 6, types: ["resize", "other"])
              let reports = claimed.map { task in
                Finish(lease: task.lease, outcome: Self.outcomes.randomElement() ?? .success, randomness: 0)
              }
              _ = try await node.finish(reports)
              _ = try await node.promote(limit: 100)
              // Some leave the line, and come back to it.
              for id in (1...2).map({ _ in TaskID.stub(Int.random(in: 1...total)) }) {
                let action: Steering.Action =
                  [
                    .cancel, .retry, .patch(TaskPatch(priority: 1 + worker)),
                    .patch(TaskPatch(available: .after(.milliseconds(5)))),
                  ]
                  .randomElement() ?? .cancel
                _ = try await node.steer([Steering(action, task: id, actor: "key-1")])
              }
              if try await node.number("SELECT count(*) FROM task_runs WHERE status < 5") == 0 {
                isOver.set(true)
              }
            }
          }
        }
        group.addTask {
          while !isOver.isSet {
            let tooMany = try await nodes[0].number(
              """
              SELECT count(*) FROM (
                SELECT b.concurrency_key FROM task_runs r JOIN task_bodies b ON b.id = r.id
                WHERE r.status = 3 OR r.claimable GROUP BY 1 HAVING count(*) > \(slots)) f
              """)
            #expect(tooMany == 0)
          }
        }
        try await group.waitForAll()
      }
      // One may have been retried by hand in the last moment.
      while try await nodes[0].number("SELECT count(*) FROM task_runs WHERE status < 5") > 0 {
        _ = try await nodes[0].promote(limit: 100)
        try await admitAll(nodes)
        let last = try await nodes[0].claimStub(limit: 100, types: ["resize", "other"])
        _ = try await nodes[0].finish(last.map { Finish(lease: $0.lease, outcome: .success, randomness: 0) })
      }
      try await expectSound(nodes[0])
      #expect(try await nodes[0].number("SELECT count(*) FROM key_line") == 0)
    }
  }

  private static let outcomes: [Outcome] = [
    .success, .success, .success, .failed, .released, .snoozed(.zero), .cancelled,
  ]

  @Test func `two nodes that admit and steer at random keep the line as the tasks are`() async throws {
    try await Nodes.run(2) { nodes in
      try await nodes[0].set { $0.concurrencyPerKey = .value(3) }
      for start in stride(from: 1, to: 200, by: 40) {
        _ = try await nodes[0].submit([Submission((start..<start + 40).map { Self.task($0, key: "k\($0 % 5)") })])
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for worker in 0..<4 {
          group.addTask {
            for _ in 0..<100 {
              let node = nodes[worker % 2]
              let id = TaskID.stub(Int.random(in: 1...200))
              switch Int.random(in: 0..<6) {
              case 0: _ = try await node.steer([Steering(.cancel, task: id, actor: "a")])
              case 1: _ = try await node.steer([Steering(.retry, task: id, actor: "a")])
              case 2:
                _ = try await node.steer([
                  Steering(.patch(TaskPatch(priority: .random(in: 1...9))), task: id, actor: "a")
                ])
              case 3:
                _ = try await node.steer([
                  Steering(.patch(TaskPatch(available: .after(.seconds(9)))), task: id, actor: "a")
                ])
              case 4:
                for task in try await node.claimStub(limit: 3) {
                  _ = try await node.finish([Finish(lease: task.lease, outcome: .released, randomness: 0)])
                }
              default: _ = try await node.admit(limit: 3)
              }
            }
          }
        }
        try await group.waitForAll()
      }
      try await admitAll(nodes)
      try await expectSound(nodes[0])
      let unused = try await nodes[0].number(
        """
        SELECT count(*) FROM (SELECT key FROM key_line GROUP BY key
          HAVING count(*) FILTER (WHERE admitted_at IS NOT NULL) < least(3, count(*))) f
        """)
      #expect(unused == 0)
    }
  }

  @Test func `an end on one node is told to the other, whose admission is told back`() async throws {
    try await Nodes.run(2) { nodes in
      let heard = [Hints(), Hints()]
      for (node, hints) in zip(nodes, heard) { node.listen { hints.hear($0) } }
      let lane = Lane(queue: "default", type: "resize")
      var number = 0
      // Whether both listen yet nobody knows.
      while !heard[1].heard.contains(.unadmitted) || !heard[0].heard.contains(.workElsewhere([lane])) {
        number += 2
        _ = try await nodes[0].submit([Submission([Self.task(number, key: "a"), Self.task(number + 1, key: "a")])])
        try await admitAll(nodes.reversed())
        let task = try #require(try await nodes[0].claimStub().first)
        #expect(try await nodes[0].claimStub() == [])
        for hints in heard { hints.forget() }
        _ = try await nodes[0].finish([Finish(lease: task.lease, outcome: .success, randomness: 0)])
        #expect(heard[0].heard.contains(.unadmitted))
        try await Task.sleep(for: .milliseconds(20))
        #expect(try await nodes[1].admit(limit: 10).lanes == [lane])
        let next = try #require(try await nodes[1].claimStub().first)
        _ = try await nodes[1].finish([Finish(lease: next.lease, outcome: .success, randomness: 0)])
        try await Task.sleep(for: .milliseconds(20))
      }
    }
  }

  @Test func `a raised limit and a resumed type reach all keys in portions, on all nodes at once`() async throws {
    try await Nodes.run(2) { nodes in
      var paused = TypeSettings()
      paused.isPaused = true
      try await nodes[0].put(type: "paused", paused, actor: "key-1")
      for start in stride(from: 0, to: 300, by: 100) {
        _ = try await nodes[0].submit(
          (start..<start + 100).map { key in
            Submission([
              Self.task(key * 10 + 1, key: "k\(key)"), Self.task(key * 10 + 2, key: "k\(key)"),
              Self.task(key * 10 + 3, key: "k\(key)", type: "paused"),
              Self.task(key * 10 + 4, key: "k\(key)", queue: "other"),
            ])
          })
      }
      try await admitAll(nodes, limit: 20)
      #expect(try await nodes[0].number("SELECT count(*) FROM task_runs WHERE claimable") == 600)
      try await nodes[1].set { $0.concurrencyPerKey = .none }
      try await admitAll(nodes, limit: 20)
      #expect(try await nodes[0].number("SELECT count(*) FROM task_runs WHERE claimable") == 900)
      try await nodes[1].put(type: "paused", TypeSettings(), actor: "key-1")
      try await admitAll(nodes, limit: 20)
      #expect(try await nodes[0].number("SELECT count(*) FROM task_runs WHERE claimable") == 1200)
      try await expectSound(nodes[0])
    }
  }

  @Test func `a key with more free slots than one transaction fills gets them all`() async throws {
    try await Nodes.run(2) { nodes in
      let count = PostgresStore.mostAdmitted + 500
      for start in stride(from: 1, through: count, by: 500) {
        _ = try await nodes[0].submit([Submission((start..<start + 500).map { Self.task($0, key: "a") })])
      }
      try await nodes[0].set { $0.concurrencyPerKey = .none }
      try await admitAll(nodes)
      #expect(try await nodes[0].number("SELECT count(*) FROM task_runs WHERE claimable") == Int64(count))
    }
  }

  // MARK: Upgrade

  @Test func `tasks with keys of an earlier release take their places in the line`() async throws {
    let options = try await Nodes.options()
    let migrations = try ["V0001_tasks", "V0002_dependencies"].map { try Self.migration($0) }
    _ = try await PostgresServer.shared.query(
      """
      CREATE SCHEMA \(options.schema); SET search_path = \(options.schema);
      CREATE TABLE migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());
      INSERT INTO migrations (name) VALUES ('V0001_tasks'), ('V0002_dependencies'); \(migrations.joined(separator: ";\n"));
      \(Self.keyedTasks)
      """)
    let node = try await PostgresStore.open(options)
    try await admitAll([node])
    try await expectSound(node)
    #expect(try await node.counts().map(\.count).reduce(0, +) == 10)
    // Two run of "b" already, more than there are slots; of "a" one of three may, and one has no key.
    let first = try await node.claimStub()
    #expect(first.map(\.id) == [.stub(1), .stub(4)])
    for number in 5...6 {
      let lease = LeaseID(task: .stub(number), attempt: 1, token: 7)
      #expect(try await node.finish([Finish(lease: lease, outcome: .success, randomness: 0)]) == [.applied(.success)])
      try await admitAll([node])
      #expect(try await node.claimStub().map(\.id) == (number == 5 ? [] : [.stub(7)]))
    }
    _ = try await node.finish(first.map { Finish(lease: $0.lease, outcome: .success, randomness: 0) })
    try await admitAll([node])
    #expect(try await node.claimStub().map(\.id) == [.stub(2)])
    // One that is over takes its place when it comes back, and so does one whose time comes.
    _ = try await node.steer([Steering(.retry, task: .stub(9), actor: "key-1")])
    #expect(try await node.promote(limit: 10).promoted == 1)
    try await admitAll([node])
    #expect(try await node.claimStub() == [])
    #expect(try await node.number("SELECT count(*) FROM key_line WHERE key = 'a' AND admitted_at IS NULL") == 3)
    try await expectSound(node)
    await node.close()
  }

  private static func migration(_ name: String) throws -> String {
    let place = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../../Sources/MartletPostgres/Migrations/\(name).sql").standardizedFileURL
    return try String(contentsOf: place, encoding: .utf8)
  }

  /// READY 1 to 3 of "a" and 4 without a key, RUNNING 5 and 6 of "b", READY 7 of "b", RETRY 8 (due), DEAD 9 and SUCCESS 10 of "a".
  private static let keyedTasks = """
    INSERT INTO lanes (queue, type, urgency, suspect) VALUES ('default', 'resize', 5, false);
    CREATE TEMPORARY TABLE made AS
      SELECT n, (ARRAY[2, 2, 2, 2, 3, 3, 2, 4, 6, 5])[n]::smallint AS status,
        (ARRAY['a', 'a', 'a', NULL, 'b', 'b', 'b', 'a', 'a', 'a'])[n] AS key,
        ('00000000-00' || lpad(to_hex(n), 2, '0') || '-7000-8000-000000000000')::uuid AS id,
        floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint - 1000 + n AS at
      FROM generate_series(1, 10) n;
    INSERT INTO task_bodies (id, created_at, payload, retries, backoff, concurrency_key)
      SELECT id, at, '{}', 3, 'fixed 1.0 2.0 3600.0 0.0', key FROM made;
    INSERT INTO task_runs (id, available_at, updated_at, due_at, ready_at, started_at, finished_at, lease_until, token, lane,
        attempt, max_attempts, sequence, timeout_ms, lease_ms, status, claimable, is_dead)
      SELECT id, at, at, CASE WHEN status = 4 THEN at END, at, CASE WHEN status > 2 THEN at END,
        CASE WHEN status >= 5 THEN at END, CASE WHEN status = 3 THEN at + 600000 END, CASE WHEN status > 2 THEN 7 END, 1,
        CASE WHEN status > 2 THEN 1 ELSE 0 END, 4, 3, 300000, 30000, status, status = 2, status = 6
      FROM made;
    INSERT INTO claims (check_at, token, tasks) SELECT at + 600000, 7, ARRAY[id] FROM made WHERE status = 3;
    INSERT INTO count_changes (lane, old, new, count) SELECT 1, 0, status, 1 FROM made
    """

  // MARK: What must hold

  private func admitAll(_ nodes: [PostgresStore], limit: Int = 100) async throws {
    var isMore = true
    while isMore {
      isMore = try await withThrowingTaskGroup(of: Bool.self) { group in
        for node in nodes { group.addTask { try await node.admit(limit: limit).isPartial } }
        return try await group.reduce(false) { $0 || $1 }
      }
      if !isMore { isMore = try await nodes[0].number("SELECT count(*) FROM key_touches") > 0 }
    }
  }

  private func expectSound(_ node: PostgresStore) async throws {
    for (what, sql) in Self.impossible {
      #expect(try await node.number("SELECT count(*) FROM (\(sql)) f") == 0, "\(what)")
    }
  }

  private static let impossible = [
    (
      "a row of a task that is not READY or RUNNING",
      "SELECT 1 FROM key_line k JOIN task_runs r ON r.id = k.task WHERE r.status NOT IN (2, 3)"
    ),
    ("a row of no task", "SELECT 1 FROM key_line k LEFT JOIN task_runs r ON r.id = k.task WHERE r.id IS NULL"),
    (
      "a READY or RUNNING task with a key and without a row",
      """
      SELECT 1 FROM task_runs r JOIN task_bodies b ON b.id = r.id LEFT JOIN key_line k ON k.task = r.id
      WHERE b.concurrency_key IS NOT NULL AND r.status IN (2, 3) AND k.task IS NULL
      """
    ),
    (
      "a slot that is given and not held, or held and not given",
      """
      SELECT 1 FROM key_line k JOIN task_runs r ON r.id = k.task
      WHERE (k.admitted_at IS NOT NULL) <> (r.status = 3 OR r.claimable)
      """
    ),
    (
      "a row that says other than its task",
      """
      SELECT 1 FROM key_line k JOIN task_runs r ON r.id = k.task JOIN lanes l ON l.id = r.lane JOIN task_bodies b ON b.id = r.id
      WHERE r.status = 2
        AND (k.queue, k.key, k.type, k.urgency, k.available_at) <> (l.queue, b.concurrency_key, l.type, l.urgency, r.available_at)
      """
    ),
    (
      "a key without its mark",
      "SELECT 1 FROM task_runs r JOIN task_bodies b ON b.id = r.id WHERE (b.concurrency_key IS NULL) <> (r.blocked = 0)"
    ),
  ]
}
