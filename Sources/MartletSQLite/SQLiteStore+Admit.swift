// Free slots of concurrency keys are given to those that wait for them, in the transaction that frees them or brings somebody
// into a line: triggers note which keys that concerns. What would be much for one transaction, and who has to give way, is left
// to the calls of `admit`.

package import MartletCore

extension SQLiteStore {
  package func admit(limit: Int) async throws(StoreError) -> Admission {
    try await writer.write { try $0.admit(limit: limit) }
  }
}

/// What a transaction does about slots.
struct Admissions {
  /// Where tasks were admitted.
  var lanes: Set<Lane> = []
  /// Something is left for `admit`.
  var isLeftOver = false
  /// Admissions that this transaction may still make.
  var budget = Self.most
  /// `admit` has been called in it: what it has left stays for the next call.
  var isLimited = false

  /// A few milliseconds' work. A batch whose tasks all have keys of their own is done in one go.
  static let most = 1000
}

extension WriteTransaction {
  /// Called before each commit.
  func admitTouched() throws {
    let touched = try touchedLines(limit: Admissions.most + 1)
    if touched.isEmpty { return }
    if admissions.isLimited {
      admissions.isLeftOver = true
      return
    }
    var isDone = touched.count <= Admissions.most
    for line in touched.prefix(Admissions.most) where try !fill(line) {
      isDone = false
      break
    }
    if !isDone { admissions.isLeftOver = true }
  }

  fileprivate func admit(limit: Int) throws -> Admission {
    let others = admissions  // of other calls in this transaction
    admissions = Admissions()
    var left = limit
    var isPartial = false
    for line in try touchedLines(limit: left) {
      left -= 1
      if try !fill(line) { isPartial = true }
    }
    while left > 0, let line = try nextWalked() {
      left -= 1
      if try !fill(line) {
        try touch(line)
        isPartial = true
      }
    }
    for line in try linesThatGiveWay(limit: left) { try giveWay(in: line) }
    try forgetOldTurns(limit: limit)
    let nextTurn = try nextTurn(limit: limit)
    memory.nextTurn = nextTurn
    isPartial = try isPartial || hasWorkLeft()
    let admission = Admission(
      lanes: admissions.lanes, isPartial: isPartial, nextIn: nextTurn.map { max(.zero, $0 - now) })
    admissions = others
    admissions.isLimited = true
    return admission
  }

  private func touchedLines(limit: Int) throws -> [KeyLine] {
    try prepared("SELECT queue, key FROM key_touches LIMIT ?1")
      .rows(limit) { KeyLine(queue: $0.text(), key: $0.text()) }
  }

  private func touch(_ line: KeyLine) throws {
    try prepared("INSERT INTO key_touches (queue, key) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
      .run(line.queue, line.key)
  }

  private func hasWorkLeft() throws -> Bool {
    try prepared(
      """
      SELECT EXISTS (SELECT 1 FROM key_touches) OR EXISTS (SELECT 1 FROM key_walks) OR EXISTS (
        SELECT 1 FROM key_line INDEXED BY key_line_patience WHERE gives_way_at IS NOT NULL AND gives_way_at <= ?1)
      """
    ).row(now) { $0.bool() } ?? false
  }

  /// Gives the free slots of a key away. False if the budget was too small for that, with the key still touched.
  private func fill(_ line: KeyLine) throws -> Bool {
    var heads = try heads(of: line)
    if !heads.isEmpty {
      let slots = try settings()[line.queue].concurrencyPerKey ?? .max
      var free = slots == .max ? slots : slots - (try held(in: line, limit: slots))
      while free > 0, let first = heads.indices.min(by: { heads[$0].isBefore(heads[$1]) }) {
        guard admissions.budget > 0 else { return false }
        try admit(heads[first], in: line)
        free -= 1
        if let next = try head(of: line, type: heads[first].type) {
          heads[first] = next
        } else {
          heads.remove(at: first)
        }
      }
      try beginPatience(in: line, heads: heads)
    }
    try prepared("DELETE FROM key_touches WHERE queue = ?1 AND key = ?2").run(line.queue, line.key)
    return true
  }

  // MARK: Walks

  /// Has all keys of a queue looked at for which somebody waits.
  func walkKeys(of queue: String) throws {
    try prepared(
      "INSERT INTO key_walks (queue, after_key) VALUES (?1, '') ON CONFLICT DO UPDATE SET after_key = excluded.after_key"
    ).run(queue)
    admissions.isLeftOver = true
  }

  func walkAllKeys() throws {
    let next = try prepared(
      """
      SELECT queue FROM key_line INDEXED BY key_line_waiting WHERE admitted_at IS NULL AND queue > ?1
      ORDER BY queue LIMIT 1
      """)
    var last = ""
    while let queue = try next.row(last, read: { $0.text() }) {
      try walkKeys(of: queue)
      last = queue
    }
  }

  /// The next key of a walk; walks that have come to their end are taken off.
  private func nextWalked() throws -> KeyLine? {
    let walk = try prepared("SELECT queue, after_key FROM key_walks LIMIT 1")
    let next = try prepared(
      """
      SELECT key FROM key_line INDEXED BY key_line_waiting WHERE admitted_at IS NULL AND queue = ?1 AND key > ?2
      ORDER BY key LIMIT 1
      """)
    while let place = try walk.row(read: { KeyLine(queue: $0.text(), key: $0.text()) }) {
      if let key = try next.row(place.queue, place.key, read: { $0.text() }) {
        try prepared("UPDATE key_walks SET after_key = ?2 WHERE queue = ?1").run(place.queue, key)
        return KeyLine(queue: place.queue, key: key)
      }
      try prepared("DELETE FROM key_walks WHERE queue = ?1").run(place.queue)
    }
    return nil
  }
}
