// A task that was admitted and that nobody takes, since no worker is there for its type, must not keep tasks of other types from
// the slot of their key for ever: it gives way. Only rows that tasks of other types wait behind have a time for that, so that
// neither claims nor other keys pay for it. Called by admission.

internal import MartletCore

extension WriteTransaction {
  /// From when on types keep their turns in a line: longer than anybody waits for the same slot.
  private static let turnsAreKept = Duration.seconds(86_400)

  /// Sets the time of those that nobody has taken, where tasks of another type wait.
  /// - Parameter heads: who waits, the first of each type.
  func beginPatience(in line: KeyLine, heads: [KeyLine.Place]) throws {
    guard let first = heads.first else { return }
    let onlyType = heads.count == 1 ? first.type : nil
    let begun = try prepared(
      """
      UPDATE key_line INDEXED BY key_line_held SET gives_way_at = admitted_at + ?4
      WHERE admitted_at IS NOT NULL AND queue = ?1 AND key = ?2 AND running = 0 AND gives_way_at IS NULL
        AND (?3 IS NULL OR type <> ?3)
      RETURNING gives_way_at
      """
    ).rows(line.queue, line.key, onlyType, Admission.patience.wholeMilliseconds) { $0.time() }
    guard let turn = begun.min() else { return }
    if let planned = memory.nextTurn, planned > now, planned <= turn { return }
    memory.nextTurn = turn
    admissions.isLeftOver = true
  }

  /// Lines in which the time of somebody is over.
  func linesThatGiveWay(limit: Int) throws -> [KeyLine] {
    try prepared(
      """
      SELECT DISTINCT queue, key FROM (
        SELECT queue, key FROM key_line INDEXED BY key_line_patience
        WHERE gives_way_at IS NOT NULL AND gives_way_at <= ?1 ORDER BY gives_way_at LIMIT ?2)
      """
    ).rows(now, limit) { KeyLine(queue: $0.text(), key: $0.text()) }
  }

  /// Each that nobody has taken in time leaves its slot to the type whose turn it is.
  func giveWay(in line: KeyLine) throws {
    for holder in try untaken(in: line) {
      guard let since = holder.admittedAt, since + Admission.patience <= now else { continue }
      let rivals = try rivals(of: holder.type, in: line)
      guard !rivals.isEmpty else {
        try endPatience(of: holder.id)
        continue
      }
      try prepared(
        """
        INSERT INTO key_turns (queue, key, type, gave_way_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT DO UPDATE SET gave_way_at = excluded.gave_way_at
        """
      ).run(line.queue, line.key, holder.type, now)
      try sendBack(holder)
      if let next = try whoseTurn(rivals, in: line) { try admit(next, in: line) }
    }
    try beginPatience(in: line, heads: try heads(of: line))
  }

  private func rivals(of type: String, in line: KeyLine) throws -> [KeyLine.Place] {
    try heads(of: line).filter { $0.type != type }
  }

  /// Of the type that has not had to give way for longest.
  private func whoseTurn(_ rivals: [KeyLine.Place], in line: KeyLine) throws -> KeyLine.Place? {
    let turns = Dictionary(
      try prepared("SELECT type, gave_way_at FROM key_turns WHERE queue = ?1 AND key = ?2")
        .rows(line.queue, line.key) { ($0.text(), $0.time()) },
      uniquingKeysWith: { _, last in last })
    let never = Timestamp(milliseconds: .min)
    return rivals.min { left, right in
      let (turn, other) = (turns[left.type] ?? never, turns[right.type] ?? never)
      return turn != other ? turn < other : left.isBefore(right)
    }
  }

  /// When the next has to give way. Those that nobody waits behind any more lose their time, at most `limit` of them.
  func nextTurn(limit: Int) throws -> Timestamp? {
    let first = try prepared(
      """
      SELECT queue, key, gives_way_at, \(KeyLine.Place.columns) FROM key_line INDEXED BY key_line_patience
      WHERE gives_way_at IS NOT NULL ORDER BY gives_way_at LIMIT 1
      """)
    var left = limit
    while let found = try first.row(read: { columns in
      (
        line: KeyLine(queue: columns.text(), key: columns.text()), turn: columns.time(),
        place: try KeyLine.Place(&columns)
      )
    }) {
      if try left <= 0 || !rivals(of: found.place.type, in: found.line).isEmpty { return found.turn }
      try endPatience(of: found.place.id)
      left -= 1
    }
    return nil
  }

  private func endPatience(of id: TaskID) throws {
    try prepared("UPDATE key_line SET gives_way_at = NULL WHERE task = ?1").run(id)
  }

  func forgetOldTurns(limit: Int) throws {
    try prepared(
      """
      DELETE FROM key_turns WHERE (queue, key, type) IN (
        SELECT queue, key, type FROM key_turns INDEXED BY key_turns_age WHERE gave_way_at < ?1 ORDER BY gave_way_at LIMIT ?2)
      """
    ).run(now + (.zero - Self.turnsAreKept), limit)
  }
}
