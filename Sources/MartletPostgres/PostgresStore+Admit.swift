// Slots of concurrency keys. Who waits and who holds one stands in `key_line`, kept by the triggers of `task_runs`; which keys
// are to be looked at stands in `key_touches`. Slots are given here alone, each key under a lock of its own, taken in one
// statement and followed by the next that gives them: it sees all that was given before. Any number of nodes may do this at once.

package import MartletCore
internal import Synchronization

extension PostgresStore {
  package func admit(limit: Int) async throws(StoreError) -> Admission {
    try await repeating { isRepetition in
      // What was admitted before the answer was lost is not told by this one.
      if isRepetition { fullLooks.areAllDue() }
      var admission = Admission(lanes: [], isPartial: false, nextIn: nil)
      var look = try await look(limit: limit)
      var isAllServed = true
      for start in stride(from: 0, to: look.keys.count, by: Self.mostKeys) {
        let part = Array(look.keys[start..<min(start + Self.mostKeys, look.keys.count)])
        if try await !serve(part, &admission) { isAllServed = false }
      }
      if !look.keys.isEmpty { look.turns = try await readTurns() }
      var turned = 0
      while !look.turns.due.isEmpty, turned < limit {
        try await giveWay(look.turns.due, &admission)
        turned += look.turns.due.count
        look.turns = try await readTurns()
      }
      admission.nextIn = look.turns.nextIn
      admission.isPartial = !look.isAll || !isAllServed || !look.turns.due.isEmpty
      return admission
    }
  }

  /// Keys looked at in one transaction.
  private static let mostKeys = 100
  /// Tasks admitted in one transaction: a key may have any number of slots.
  static let mostAdmitted = 2000

  struct TouchedKey {
    var queue: String
    var key: String
    /// The rows that tell of it.
    var touches: [Int64] = []
  }

  /// What there is to do.
  private struct Look {
    /// Keys that transactions have touched.
    var keys: [TouchedKey]
    /// There are no more of them.
    var isAll: Bool
    var turns: Turns
  }

  /// Keys with a holder of a slot that has to make room, and how long until there is another.
  private struct Turns {
    var due: [(queue: String, key: String)]
    var nextIn: Duration?
  }

  /// Touches as many keys as changed settings concern, and looks.
  private func look(limit: Int) async throws -> Look {
    let start = touches.start(at: .now)
    let most = max(1000, limit * 20)  // a key may have been touched many times
    let rows = try await pool.transaction(
      [
        Query(Self.sweepKeys, .int8(Int64(limit))), Query(Self.readTouches, .int8(start), .int8(Int64(most))),
      ] + turnQueries, .background)
    let isSwept = rows[0].first { $0.int() == 0 } ?? true
    let found = rows[1].map { columns in (number: columns.int(), queue: columns.text(), key: columns.text()) }
    touches.read(from: start, first: found.first?.number, at: .now)
    let all = Self.keys(of: found)
    return Look(
      keys: Array(all.prefix(limit)), isAll: isSwept && found.count < most && all.count <= limit,
      turns: Self.turns(Array(rows[2...])))
  }

  private static func keys(of touches: [(number: Int64, queue: String, key: String)]) -> [TouchedKey] {
    // As bytes: to Swift texts are equal that the database tells apart.
    struct Name: Hashable {
      var queue: [UInt8]
      var key: [UInt8]
    }
    var keys: [Name: TouchedKey] = [:]
    for touch in touches {
      let name = Name(queue: Array(touch.queue.utf8), key: Array(touch.key.utf8))
      keys[name, default: TouchedKey(queue: touch.queue, key: touch.key, touches: [])].touches.append(touch.number)
    }
    return keys.values.sorted { ($0.touches[0]) < ($1.touches[0]) }
  }

  private var turnQueries: [Query] {
    [
      Query(Self.readGivingWay, nowParameter, .int8(Int64(Self.mostKeys))), Query(Self.nextGivingWay, nowParameter),
    ]
  }

  private static func turns(_ rows: [Rows]) -> Turns {
    let next = rows[1].first { columns in (now: columns.time(), at: columns.optionalTime()) }
    return Turns(
      due: rows[0].map { columns in (queue: columns.text(), key: columns.text()) },
      nextIn: next.flatMap { next in next.at.map { max(.zero, $0 - next.now) } })
  }

  private func readTurns() async throws -> Turns {
    Self.turns(try await pool.transaction(turnQueries, .background))
  }

  /// Fills the free slots of these keys. False if there were more tasks for them than one transaction takes.
  private func serve(_ keys: [TouchedKey], _ admission: inout Admission) async throws -> Bool {
    let (queues, names) = (PostgresValue.texts(keys.map(\.queue)), PostgresValue.texts(keys.map(\.key)))
    let rows = try await pool.transaction(
      [
        Query(Self.lockKeys, queues, names),
        Query(
          Self.admitKeys, nowParameter, queues, names,
          .int8s(keys.flatMap(\.touches)),
          .int4s(keys.enumerated().flatMap { index, key in key.touches.map { _ in Int32(index + 1) } })),
        Query(Self.watchKeys, queues, names),
      ], .background)
    try await tell(rows[1], &admission)
    return rows[1].first { $0.bool() } ?? true
  }

  /// Tasks that nobody has taken make room for those of other types, one of each key.
  private func giveWay(_ due: [(queue: String, key: String)], _ admission: inout Admission) async throws {
    let (queues, names) = (PostgresValue.texts(due.map(\.queue)), PostgresValue.texts(due.map(\.key)))
    let rows = try await pool.transaction(
      [
        Query(Self.lockKeys, queues, names), Query(Self.giveWay, nowParameter, queues, names),
        Query(Self.watchKeys, queues, names),
      ], .background)
    try await tell(rows[1], &admission)
  }

  /// Rows of a flag that is for others, a lane and a time; the lane may be NULL.
  private func tell(_ rows: Rows, _ admission: inout Admission) async throws {
    let admitted = rows.map { columns in
      _ = columns.bool()
      return (lane: columns.optionalInt().map { Int32($0) }, availableAt: columns.int())
    }
    for case (let lane?, let availableAt) in admitted {
      appeared(in: lane, at: availableAt)
      admission.lanes.insert(try await key(of: lane).lane)
    }
  }
}

/// Where to begin to read `key_touches`: past the rows that are deleted and, while somebody holds an old snapshot, not yet
/// vacuumed away. Those that were committed late are found by a look from the beginning, about once a second.
final class TouchReading: Sendable {
  private struct State {
    var start = Int64.min
    var fullLookAt: ContinuousClock.Instant?
  }
  private let state = Mutex(State())

  /// Numbers that may still be committed below one that was read.
  private static let late: Int64 = 5000

  func start(at now: ContinuousClock.Instant) -> Int64 {
    state.withLock { state in
      guard let fullLookAt = state.fullLookAt, now < fullLookAt else { return .min }
      return state.start
    }
  }

  func read(from start: Int64, first: Int64?, at now: ContinuousClock.Instant) {
    state.withLock { state in
      if start == .min { state.fullLookAt = now + .seconds(1) }
      guard let first else { return }
      state.start = max(start, first - Self.late)
    }
  }
}
