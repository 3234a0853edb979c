// How many tasks there are, from the rows that every transaction adds, folded together now and then.

package import MartletCore

extension PostgresStore {
  package func counts() async throws(StoreError) -> [TaskCount] {
    try await repeating { _ in
      let rows = try await pool.transaction([Query(Self.readCounts), Query(Self.readChanges)], .background)
      if (rows[1].first { $0.int() } ?? 0) > Self.mostChanges { try await foldCounts() }
      return try rows[0].map { columns in
        TaskCount(
          lane: Lane(queue: columns.text(), type: columns.text()), status: try TaskStatus(code: columns.int()),
          count: Int(columns.int()))
      }
    }
  }

  package func oldestReady() async throws(StoreError) -> [String: Timestamp] {
    try await repeating { _ in
      let oldest = try await pool.run(Query(Self.readOldest), .background).map { columns in
        (columns.text(), columns.time())
      }
      return Dictionary(oldest, uniquingKeysWith: min)
    }
  }

  /// Part of pruning, and of counting where much has gathered: the fewer changes stand apart, the cheaper it is to count.
  func foldCounts() async throws {
    while try await pool.run(Query(Self.fold), .background).first({ $0.int() }) == Self.mostFolded {}
  }

  private static let mostFolded: Int64 = 20_000
  /// Changes that stand apart without harm.
  private static let mostChanges: Int64 = 2000

  /// As the view `task_counts` has it, but that each sum looks up its lane. The view compares all of them with all lanes: seconds,
  /// where there are thousands.
  private static let readCounts = Statement(
    "read_counts",
    """
    WITH sums AS MATERIALIZED (
      SELECT lane, status, sum(count) AS count FROM (
        SELECT lane, status, count FROM counts
        UNION ALL SELECT lane, old, -count FROM count_changes WHERE old > 0
        UNION ALL SELECT lane, new, count FROM count_changes WHERE new > 0
      ) c GROUP BY lane, status
    )
    SELECT l.queue, l.type, s.status, sum(s.count)::bigint
    FROM sums s CROSS JOIN LATERAL (SELECT queue, type FROM lanes WHERE id = s.lane OFFSET 0) l
    GROUP BY l.queue, l.type, s.status HAVING sum(s.count) <> 0
    """)

  private static let readChanges = Statement("read_changes", "SELECT count(*) FROM count_changes")

  private static let readOldest = Statement(
    "read_oldest",
    """
    WITH RECURSIVE lines(queue, available_at) AS (
      (SELECT queue, available_at FROM key_line WHERE admitted_at IS NULL ORDER BY queue, available_at LIMIT 1)
      UNION ALL SELECT n.* FROM lines q CROSS JOIN LATERAL (
        SELECT l.queue, l.available_at FROM key_line l WHERE l.admitted_at IS NULL AND l.queue > q.queue
        ORDER BY l.queue, l.available_at LIMIT 1
      ) n
    )
    SELECT l.queue, f.available_at
    FROM lanes l CROSS JOIN LATERAL (
      SELECT r.available_at FROM task_runs r WHERE r.claimable AND r.lane = l.id ORDER BY r.available_at, r.id LIMIT 1
    ) f
    -- Those that wait for slots of their concurrency keys.
    UNION ALL SELECT queue, available_at FROM lines
    """)

  /// In order of the key: two nodes that fold at once wait for each other rather than for good.
  private static let fold = Statement(
    "fold_counts",
    """
    WITH chosen AS MATERIALIZED (
      SELECT number FROM count_changes ORDER BY number LIMIT \(mostFolded) FOR UPDATE SKIP LOCKED
    ),
    folded AS MATERIALIZED (
      DELETE FROM count_changes c USING chosen WHERE c.number = chosen.number RETURNING c.lane, c.old, c.new, c.count
    ),
    added AS (
      INSERT INTO counts (lane, status, count)
      SELECT lane, status, sum(change) FROM (
        SELECT lane, old AS status, -count::bigint AS change FROM folded WHERE old > 0
        UNION ALL SELECT lane, new, count FROM folded WHERE new > 0
      ) c GROUP BY lane, status ORDER BY lane, status
      ON CONFLICT (lane, status) DO UPDATE SET count = counts.count + excluded.count
    )
    SELECT count(*) FROM folded
    """)
}
