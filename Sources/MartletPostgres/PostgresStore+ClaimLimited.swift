// Claims in queues with a concurrency or a rate. They are counted, and so made one after the other: under the lock of the queue's
// bucket, all in one round trip. Queues without limits never meet any of this; of the others only those are asked where something
// may be had (`LimitedQueues`).

internal import MartletCore

extension PostgresStore {
  /// As much of the request as limited queues have.
  func claimLimited(_ request: ClaimRequest, _ claimed: inout [ClaimedTask]) async throws {
    guard !limits.isEmpty else { return }
    if limits.isCountingDear() { try await foldCounts() }
    var isDone: Set<String> = []
    var looks = 0
    while claimed.count < request.limit {
      guard looks < Self.mostLooks else {
        tellOfMore(for: request)
        break
      }
      looks += 1
      let wanted = request.limit - claimed.count
      let free = max(0, request.limit - request.ahead - claimed.count)
      let turn = limitedTurn(request, free: free, except: isDone)
      if turn.isEmpty { break }
      let picks = try await carryOut(turn, request, wanted: wanted, free: free)
      claimed += picks.claimed
      // Places in the order of a lane were taken by tasks that could not be given out: there may be more behind them.
      if picks.claimed.count == picks.count { isDone.formUnion(turn.map(\.queue)) }
    }
    tellOfEmptyBuckets(request)
  }

  /// A queue to be asked.
  private struct Asked {
    var queue: String
    var looks: [LaneBook.Look]
    /// What `LimitedQueues.close` has to be told.
    var version: Int
  }

  /// Queues asked in one transaction, at most: whoever else wants to claim in one of them waits for its end.
  private static let mostQueues = 50

  /// Any of those that may have something; all have their turn in the end.
  private func limitedTurn(_ request: ClaimRequest, free: Int, except done: Set<String>) -> [Asked] {
    let names = limits.names
    let looks = Dictionary(
      grouping: book.promising(for: request, withSuspects: free > 0).filter { names.contains($0.key.queue) },
      by: \.key.queue)
    let now = nodeTime
    var open: [Asked] = []
    for (queue, looks) in looks where !done.contains(queue) {
      if let version = limits.open(queue, at: now) {
        open.append(Asked(queue: queue, looks: looks, version: version))
      } else {
        want(looks, of: queue)
      }
    }
    return open.count > Self.mostQueues ? Array(open.shuffled().prefix(Self.mostQueues)) : open
  }

  /// Other nodes tell when an attempt ends there.
  private func want(_ looks: [LaneBook.Look], of queue: String) {
    for lane in limits.want(looks.map(\.lane), of: queue) { bell.full(lane, of: queue) }
  }

  private func carryOut(
    _ turn: [Asked], _ request: ClaimRequest, wanted: Int, free: Int
  ) async throws -> Picks {
    let queues = PostgresValue.texts(turn.map(\.queue))
    let rows = try await pool.transaction([
      Query(Self.lockBuckets, queues), Query(Self.readRooms, nowParameter, queues),
      lookAtPromises(Self.claimLimited, turn.flatMap(\.looks), request, wanted: wanted, free: free),
    ])
    let rooms = Dictionary(rows[1].map { Room(&$0) }.map { ($0.queue, $0) }) { first, _ in first }
    let picks = try await read(rows[2], for: request)
    for asked in turn {
      guard let room = rooms[asked.queue] else { continue }
      note(picks, room, asked, foundAll: picks.count < wanted)
    }
    // The more changes stand apart, the dearer it is to count.
    if rooms.values.contains(where: { $0.changes > Self.mostChangesCounted }) { limits.countingIsDear() }
    return picks
  }

  private static let mostChangesCounted: Int64 = 300

  /// What a queue has said of itself: that it has no more, or no more room.
  private func note(_ picks: Picks, _ room: Room, _ asked: Asked, foundAll: Bool) {
    let found = asked.looks.reduce(0) { $0 + (picks.found[$1.lane] ?? 0) }
    let isExhausted = room.isPaused || foundAll && room.room.map { found < $0 } ?? true
    book.looked(at: asked.looks, foundUpTo: picks.ends, restIsEmpty: isExhausted)
    let taken = picks.claimed.count { $0.queue == asked.queue }
    guard !isExhausted, let left = room.room.map({ $0 - taken }), left <= 0 else { return }
    let nextIn = room.nextToken(after: taken)
    let rest = nextIn.map(\.wholeMilliseconds) ?? LimitedQueues.rest
    limits.close(asked.queue, asked.version, until: nodeTime + rest, isEmptied: nextIn != nil)
    want(asked.looks, of: asked.queue)
  }

  /// Whoever waits for these looks again when there is a token.
  private func tellOfEmptyBuckets(_ request: ClaimRequest) {
    let now = nodeTime
    var lanes: [Int64: Set<Lane>] = [:]
    for look in book.promising(for: request, withSuspects: true) {
      guard let rest = limits.emptyFor(look.key.queue, at: now) else { continue }
      lanes[rest, default: []].insert(look.key.lane)
    }
    for (rest, lanes) in lanes { ear.tell(.later(lanes, .milliseconds(rest))) }
  }

  /// For durations on this node, in milliseconds. It is the store's clock where a test moves that.
  private var nodeTime: Int64 {
    clock?().milliseconds ?? Self.started.duration(to: .now).wholeMilliseconds
  }

  private static let started = ContinuousClock.now

  // MARK: Which there are

  /// Once a second for each kind of request: which of its queues are limited, and where in them there is something.
  func findLimitedQueues(for request: ClaimRequest) async throws {
    guard fullLooks.due(for: request, epoch: book.epoch) != nil else { return }
    let rows = try await pool.run(
      Query(Self.findLimited, .texts(request.types), .texts(request.queues), .bool(request.takesAllQueues)))
    var queues: Set<String> = []
    let found = rows.map { columns in
      let queue = columns.text()
      queues.insert(queue)
      return columns.optionalInt().map { lane in
        (
          lane: Int32(lane),
          key: LaneKey(
            queue: queue, type: columns.text(), urgency: Int16(columns.int()), isSuspect: columns.bool()),
          availableAt: columns.int()
        )
      }
    }
    limits.found(queues) { request.queues.contains($0) || request.takesAllQueues }
    for entry in found.compactMap(\.self) {
      book.learn(entry.lane, entry.key)
      _ = book.appeared(in: entry.lane, at: entry.availableAt)
    }
  }
}

/// What a queue had to give before it was asked.
private struct Room {
  var queue: String
  var isPaused: Bool
  var tokens: Double?
  var settings = QueueSettings()
  /// Rows that were added up for it.
  var changes: Int64
  /// Nil: any number.
  var room: Int?

  init(_ columns: inout Columns) {
    queue = columns.text()
    isPaused = columns.bool()
    settings.ratePerSecond = columns.optionalDouble()
    settings.burst = columns.optionalInt().map { Int($0) }
    tokens = columns.optionalDouble()
    changes = columns.int()
    room = columns.optionalInt().map { Int($0) }
  }

  /// How long until there is a token, where that is what it lacks.
  func nextToken(after taken: Int) -> Duration? {
    guard let tokens else { return nil }
    let rest = RateBucket(tokens: tokens - Double(taken), countedAt: .earliest).nextIn(settings)
    return rest > .zero ? rest : nil
  }
}

// MARK: - SQL

extension PostgresStore {
  /// In one order, so that no two wait for each other. Whoever comes after this sees what was claimed before.
  static let lockBuckets = Statement(
    "lock_buckets", "SELECT 1 FROM queue_buckets WHERE queue = ANY($1::text[]) ORDER BY queue FOR NO KEY UPDATE")

  private static let readRooms = Statement(
    "read_rooms",
    """
    WITH \(clock)
    SELECT queue, is_paused, rate, burst, tokens, coalesce(changes, 0), room
    FROM (\(roomsSQL(queues: "SELECT unnest($2::text[]) AS queue", now: "clock"))) r
    """)

  private static let findLimited = Statement(
    "find_limited",
    """
    SELECT s.queue, f.id, f.type, f.urgency, f.suspect, f.available_at
    FROM queue_settings s LEFT JOIN LATERAL (
      SELECT l.id, l.type, l.urgency, l.suspect, r.available_at
      FROM lanes l CROSS JOIN LATERAL (
        SELECT t.available_at FROM task_runs t WHERE t.claimable AND t.lane = l.id ORDER BY t.available_at, t.id LIMIT 1
      ) r
      WHERE l.queue = s.queue AND l.type = ANY($1::text[]) AND NOT s.paused AND \(isTypeGivenOut)
    ) f ON true
    WHERE s.limited AND (s.queue = ANY($2::text[]) OR $3::boolean)
    """)

  /// What each queue may give out now; NULL is any number. What has ended in a transaction under way still counts as running.
  /// The same arithmetic as `RateBucket`.
  /// - Parameter now: the part of the statement that has the time, in a column `now`.
  static func roomsSQL(queues: String, now: String) -> String {
    """
    SELECT o.*, CASE WHEN is_paused THEN 0 WHEN places IS NULL AND tokens IS NULL THEN NULL
        ELSE greatest(0, least(places, floor(tokens + 1e-6)::bigint)) END AS room
      FROM (
        SELECT q.queue, coalesce(s.paused, false) AS is_paused, s.rate, s.burst, u.changes, s.concurrency - u.count AS places,
          CASE WHEN s.rate IS NOT NULL THEN least(\(capacity("s")),
            b.tokens + greatest(0, now - b.counted_at) / 1000::float8 * s.rate) END AS tokens
        FROM (\(queues)) q CROSS JOIN \(now)
          LEFT JOIN LATERAL (SELECT * FROM queue_settings t WHERE t.queue = q.queue LIMIT 1) s ON true
          LEFT JOIN LATERAL (SELECT * FROM queue_buckets t WHERE t.queue = q.queue LIMIT 1) b ON true
          LEFT JOIN LATERAL (\(countSQL([.running], in: "s.queue", if: "s.concurrency IS NOT NULL"))) u ON true
      ) o
    """
  }

  /// How many tasks of a queue are of these statuses, and how many changes were added up for that.
  static func countSQL(_ statuses: [TaskStatus], in queue: String, if condition: String) -> String {
    let codes = statuses.map { String($0.code) }.joined(separator: ", ")
    return """
      SELECT (c.count + d.count)::bigint AS count, d.changes
      FROM (
        SELECT coalesce(sum(t.count), 0) AS count
        FROM lanes n CROSS JOIN LATERAL (SELECT k.count FROM counts k WHERE k.lane = n.id AND k.status IN (\(codes)) OFFSET 0) t
        WHERE n.queue = \(queue) AND \(condition)
      ) c, (
        SELECT count(*) AS changes, coalesce(sum(CASE WHEN t.new IN (\(codes)) THEN t.count ELSE 0 END
          - CASE WHEN t.old IN (\(codes)) THEN t.count ELSE 0 END), 0) AS count
        FROM lanes n CROSS JOIN LATERAL (
          SELECT k.old, k.new, k.count FROM count_changes k WHERE k.lane = n.id OFFSET 0
        ) t
        WHERE n.queue = \(queue) AND \(condition)
      ) d
      """
  }
}
