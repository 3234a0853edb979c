// `maxDepth`: the part of the statements for judged submissions that keeps queues from being filled beyond it. It runs under
// the locks of their settings, so that what others have submitted is counted.

internal import MartletCore

extension PostgresStore {
  /// How many each queue with a depth has room for, and what each submission that could stand would bring. Those come in
  /// order: one fits where it and all before it fit. One that needs more than those before it, as far as they fit, have left is
  /// refused for good; what is neither has another turn.
  static let roomsInDepths = """
    depths AS MATERIALIZED (
      SELECT q.queue, s.max_depth - c.count AS room
      FROM (SELECT DISTINCT unnest($20::text[]) AS queue) q CROSS JOIN LATERAL (
        SELECT t.queue, t.max_depth FROM queue_settings t WHERE t.queue = q.queue AND t.max_depth IS NOT NULL LIMIT 1
      ) s CROSS JOIN LATERAL (\(countSQL([.pending, .ready, .retry], in: "s.queue", if: "true"))) c
    ),
    needs AS MATERIALIZED (
      SELECT p.submission, d.queue, d.room, count(*) AS need
      FROM possible p CROSS JOIN LATERAL (SELECT t.queue FROM lanes t WHERE t.id = p.lane LIMIT 1) l
        JOIN depths d ON d.queue = l.queue
      WHERE p.could_stand AND p.earlier IS NULL AND p.stored_at IS NULL
      GROUP BY p.submission, d.queue, d.room
    ),
    lined AS MATERIALIZED (
      SELECT n.*, sum(need) OVER (PARTITION BY queue ORDER BY submission) <= room AS is_room FROM needs n
    ),
    fitting AS MATERIALIZED (
      SELECT l.*, bool_and(is_room) OVER (PARTITION BY submission) AS fits FROM lined l
    ),
    fits AS MATERIALIZED (
      SELECT submission, bool_and(fits) AS fits, min(queue) FILTER (WHERE need > room - before) AS full_queue
      FROM (
        SELECT f.*, coalesce(sum(need) FILTER (WHERE fits) OVER (
            PARTITION BY queue ORDER BY submission ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
        FROM fitting f
      ) b GROUP BY submission
    ),
    """

  static let decidedByDepth = """
    SELECT p.*, could_stand AND coalesce(f.fits, true) AS stands, f.full_queue
    FROM possible p LEFT JOIN fits f ON f.submission = p.submission
    """
}
