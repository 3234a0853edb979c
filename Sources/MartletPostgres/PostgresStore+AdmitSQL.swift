// The statements of `PostgresStore+Admit.swift`. `$2` and `$3` are the queues and keys that it is about, under their locks.

internal import MartletCore

extension PostgresStore {
  /// In one order, so that no two wait for each other. Different keys may share a lock: then they wait for nothing.
  static let lockKeys = Statement(
    "lock_keys",
    """
    SELECT count(pg_advisory_xact_lock(number)) FROM (
      SELECT DISTINCT hashtextextended(current_schema() || chr(1) || queue || chr(1) || key, 0) AS number
      FROM unnest($1::text[], $2::text[]) AS k(queue, key) ORDER BY number OFFSET 0
    ) n
    """)

  static let readTouches = Statement(
    "read_touches",
    "SELECT number, queue, key FROM key_touches WHERE number >= $1::bigint ORDER BY number LIMIT $2::bigint")

  /// The next keys with somebody waiting, one look-up each. Ends with a 0 when nothing is left over.
  static let sweepKeys = Statement(
    "sweep_keys",
    """
    WITH RECURSIVE sweep AS MATERIALIZED (
      SELECT number, queue, after_queue, after_key FROM key_sweeps ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
    ),
    keys(queue, key, place) AS (
      SELECT n.queue, n.key, 1 FROM sweep s CROSS JOIN LATERAL (\(nextKey(after: "s.after_queue, s.after_key"))) n
      WHERE s.queue IS NULL OR n.queue = s.queue
      UNION ALL
      SELECT n.queue, n.key, k.place + 1 FROM keys k CROSS JOIN sweep s CROSS JOIN LATERAL (\(nextKey(after: "k.queue, k.key"))) n
      WHERE k.place < $1::bigint AND (s.queue IS NULL OR n.queue = s.queue)
    ),
    found AS MATERIALIZED (SELECT * FROM keys),
    touched AS (INSERT INTO key_touches (queue, key) SELECT queue, key FROM found),
    last AS MATERIALIZED (SELECT queue, key FROM found WHERE place = $1),
    moved AS (
      UPDATE key_sweeps w SET after_queue = l.queue, after_key = l.key FROM sweep s, last l WHERE w.number = s.number
    ),
    done AS (
      DELETE FROM key_sweeps w USING sweep s WHERE w.number = s.number AND NOT EXISTS (SELECT 1 FROM last)
      RETURNING w.number
    )
    SELECT count(*) FROM key_sweeps WHERE number NOT IN (SELECT number FROM done)
    """)

  private static func nextKey(after place: String) -> String {
    """
    SELECT l.queue, l.key FROM key_line l WHERE l.admitted_at IS NULL AND (l.queue, l.key) > (\(place))
    ORDER BY l.queue, l.key LIMIT 1
    """
  }

  /// The keys with their slots; NULL is any number.
  private static let lockedKeys = """
    keys AS MATERIALIZED (
      SELECT k.*, CASE WHEN s.queue IS NULL THEN 1 ELSE s.per_key END AS slots
      FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS k(queue, key, number)
        LEFT JOIN LATERAL (SELECT t.queue, t.per_key FROM queue_settings t WHERE t.queue = k.queue LIMIT 1) s ON true
    )
    """

  /// The types of those that wait for each key, paused ones left out: one look-up for each, however many wait.
  private static func typesSQL(of keys: String) -> String {
    """
    types(queue, key, number, type) AS (
      SELECT k.queue, k.key, k.number, n.type FROM \(keys) k CROSS JOIN LATERAL (\(nextType(of: "k", after: "''"))) n
      UNION ALL
      SELECT t.queue, t.key, t.number, n.type FROM types t CROSS JOIN LATERAL (\(nextType(of: "t", after: "t.type"))) n
    ),
    waiting_types AS MATERIALIZED (
      SELECT * FROM types t WHERE NOT EXISTS (SELECT 1 FROM type_settings s WHERE s.type = t.type AND s.paused)
    )
    """
  }

  private static func nextType(of key: String, after type: String) -> String {
    """
    SELECT l.type FROM key_line l
    WHERE l.admitted_at IS NULL AND l.queue = \(key).queue AND l.key = \(key).key AND l.type > \(type)
    ORDER BY l.type LIMIT 1
    """
  }

  /// The best that wait for a key, of one type.
  private static func best(of type: String, limit: String) -> String {
    """
    SELECT l.task, l.urgency, l.available_at FROM key_line l
    WHERE l.admitted_at IS NULL AND l.queue = \(type).queue AND l.key = \(type).key AND l.type = \(type).type
    ORDER BY l.urgency, l.available_at, l.task LIMIT \(limit)
    """
  }

  /// Fills free slots and deletes the touches `$4`, each of which is of the key at the place that `$5` has for it. A key of which
  /// they are gone already was served by another node meanwhile. A task that moves at this very moment is not admitted; its
  /// key is touched anew.
  static let admitKeys = Statement(
    "admit_keys",
    """
    WITH RECURSIVE \(clock),
    \(lockedKeys),
    gone AS (
      DELETE FROM key_touches t USING (
        SELECT i.place, d.at FROM unnest($4::bigint[], $5::integer[]) AS i(number, place) CROSS JOIN LATERAL (
          SELECT ctid AS at FROM key_touches WHERE number = i.number LIMIT 1
        ) d
      ) o WHERE t.ctid = o.at
      RETURNING o.place
    ),
    free AS MATERIALIZED (
      SELECT k.queue, k.key, k.number, least(\(mostAdmitted + 1), k.slots - h.count) AS count
      FROM keys k CROSS JOIN LATERAL (
        SELECT count(*) FROM (
          SELECT 1 FROM key_line l WHERE l.admitted_at IS NOT NULL AND l.queue = k.queue AND l.key = k.key AND k.slots IS NOT NULL
          LIMIT k.slots
        ) o
      ) h
      WHERE k.number IN (SELECT place FROM gone) AND (k.slots IS NULL OR h.count < k.slots)
    ),
    \(typesSQL(of: "free")),
    ranked AS MATERIALIZED (
      SELECT c.*, r.sequence, row_number() OVER (ORDER BY c.number, c.urgency, c.available_at, c.task) AS place
      FROM (
        SELECT t.number, b.*, f.count,
          row_number() OVER (PARTITION BY t.number ORDER BY b.urgency, b.available_at, b.task) AS place_in_line
        FROM waiting_types t JOIN free f ON f.number = t.number CROSS JOIN LATERAL (\(best(of: "t", limit: "f.count"))) b
      ) c CROSS JOIN LATERAL (SELECT t.sequence FROM task_runs t WHERE t.id = c.task LIMIT 1) r
      WHERE c.place_in_line <= c.count
    ),
    chosen AS MATERIALIZED (SELECT * FROM ranked WHERE place <= \(mostAdmitted) ORDER BY task),
    \(admitChosen),
    touched AS (
      INSERT INTO key_touches (queue, key)
      SELECT k.queue, k.key FROM keys k
      WHERE k.number IN (SELECT number FROM chosen WHERE task NOT IN (SELECT id FROM ready))
        OR k.number IN (SELECT number FROM free) AND k.number >= (SELECT number FROM ranked WHERE place = \(mostAdmitted + 1))
    )
    SELECT NOT EXISTS (SELECT 1 FROM ranked WHERE place > \(mostAdmitted)), a.lane, a.available_at
    FROM (SELECT 1) one LEFT JOIN (SELECT lane, min(available_at) AS available_at FROM ready GROUP BY lane) a ON true
    """)

  /// Makes `chosen` claimable, in order of ids as all writers lock rows. Who has left the line and come back meanwhile has another
  /// sequence and another row in it.
  private static let admitChosen = """
    ready AS (
      UPDATE task_runs r SET claimable = true FROM chosen c
      WHERE r.id = c.task AND r.status = 2 AND NOT r.claimable AND r.sequence = c.sequence
      RETURNING r.id, r.lane, r.available_at
    ),
    admitted AS (UPDATE key_line l SET admitted_at = now FROM ready, clock WHERE l.task = ready.id)
    """

  /// Notes when holders of slots have to make room if nobody takes them: where tasks of other types wait. Rows that others hold
  /// locked are left out: whoever has locked them touches the key.
  static let watchKeys = Statement(
    "watch_keys",
    """
    WITH RECURSIVE keys AS MATERIALIZED (
      SELECT k.* FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(queue, key, number)
    ),
    \(typesSQL(of: "keys")),
    holders AS MATERIALIZED (
      SELECT h.place FROM (SELECT DISTINCT queue, key, number FROM waiting_types) k CROSS JOIN LATERAL (
        SELECT l.ctid AS place, l.type FROM key_line l
        WHERE l.admitted_at IS NOT NULL AND l.queue = k.queue AND l.key = k.key AND l.give_way_at IS NULL
          AND EXISTS (SELECT 1 FROM waiting_types t WHERE t.number = k.number AND t.type <> l.type)
        FOR UPDATE OF l SKIP LOCKED
      ) h
    )
    UPDATE key_line l SET give_way_at = l.admitted_at + \(Admission.patience.wholeMilliseconds) FROM holders h
    WHERE l.ctid = h.place
    """)

  static let readGivingWay = Statement(
    "read_giving_way",
    """
    WITH \(clock)
    SELECT DISTINCT queue, key FROM (
      SELECT l.queue, l.key FROM key_line l
      WHERE l.give_way_at < \(Int64.max) AND l.give_way_at <= (SELECT now FROM clock) ORDER BY l.give_way_at LIMIT $2::bigint
    ) d
    """)

  static let nextGivingWay = Statement(
    "next_giving_way",
    """
    WITH \(clock)
    SELECT now, (SELECT give_way_at FROM key_line WHERE give_way_at < \(Int64.max) ORDER BY give_way_at LIMIT 1) FROM clock
    """)

  /// Of each key the first holder that is due and has not been taken makes room, if somebody of another type still waits; the
  /// trigger puts it back into the line. Those that have been taken, or have no rivals any more, are not watched any longer.
  static let giveWay = Statement(
    "give_way",
    """
    WITH RECURSIVE \(clock),
    \(lockedKeys),
    due AS MATERIALIZED (
      SELECT k.queue, k.key, k.number, h.*, r.status FROM keys k CROSS JOIN clock CROSS JOIN LATERAL (
        SELECT l.task AS holder, l.type AS own, l.urgency, l.available_at FROM key_line l
        WHERE l.admitted_at IS NOT NULL AND l.queue = k.queue AND l.key = k.key AND l.give_way_at <= now
        ORDER BY l.urgency, l.available_at, l.task LIMIT \(mostAdmitted)
      ) h CROSS JOIN LATERAL (SELECT t.status FROM task_runs t WHERE t.id = h.holder LIMIT 1) r
    ),
    first AS MATERIALIZED (
      SELECT DISTINCT ON (number) * FROM due WHERE status = 2 ORDER BY number, urgency, available_at, holder
    ),
    \(typesSQL(of: "first")),
    next AS MATERIALIZED (
      SELECT d.number, d.holder, n.* FROM first d CROSS JOIN LATERAL (
        SELECT b.task, b.urgency, b.available_at, r.sequence
        FROM waiting_types t CROSS JOIN LATERAL (\(best(of: "t", limit: "1"))) b
          JOIN task_runs r ON r.id = b.task
          LEFT JOIN LATERAL (
            SELECT u.at FROM key_turns u WHERE u.queue = t.queue AND u.key = t.key AND u.type = t.type LIMIT 1
          ) u ON true
        WHERE t.number = d.number AND t.type <> d.own
        ORDER BY u.at NULLS FIRST, b.urgency, b.available_at, b.task LIMIT 1
      ) n
    ),
    gave AS (
      UPDATE task_runs r SET claimable = false FROM (SELECT * FROM next ORDER BY holder) n
      WHERE r.id = n.holder AND r.status = 2 AND r.claimable
      RETURNING n.number
    ),
    turned AS (
      INSERT INTO key_turns (queue, key, type, at)
      SELECT d.queue, d.key, d.own, now FROM first d, clock WHERE d.number IN (SELECT number FROM gave) ORDER BY 1, 2, 3
      ON CONFLICT (queue, key, type) DO UPDATE SET at = excluded.at
    ),
    chosen AS MATERIALIZED (SELECT * FROM next WHERE number IN (SELECT number FROM gave) ORDER BY task),
    \(admitChosen),
    unwatched AS MATERIALIZED (
      SELECT l.* FROM due d CROSS JOIN LATERAL (
        SELECT t.ctid AS place, d.status FROM key_line t
        WHERE t.task = d.holder AND (d.status <> 2 OR d.number NOT IN (SELECT number FROM next))
        LIMIT 1 FOR UPDATE OF t SKIP LOCKED
      ) l
    ),
    forgotten AS (
      UPDATE key_line l SET give_way_at = CASE WHEN u.status = 2 THEN NULL ELSE \(Int64.max) END
      FROM unwatched u WHERE l.ctid = u.place
    )
    SELECT true, lane, min(available_at) FROM ready GROUP BY lane
    """)
}
