// Holds three witnesses against each other when all is at rest: what clients were told (the journal), what was done
// (the effects) and what is stored (the API, and the database behind it).

internal import MartletCore

struct Checker: Sendable {
  /// Something done to the outside world by an attempt.
  struct Effect: Sendable, Hashable {
    var task: String
    var attempt: Int
  }

  let journal: Journal.Book
  /// In the order in which they arrived. Nil where the tasks leave no trace outside.
  let effects: [Effect]?
  /// As the API lists them.
  var listed: [StoredTask]
  /// As they stand in the database.
  var stored: [StoredTask]
  /// Attempts that were ended without waiting for their worker's word, while it may not have known it yet.
  let lost: Set<StoredAttempt>

  /// Every broken promise; none if all is well.
  func faults() -> [String] {
    journal.faults + lostOrUnfinished() + strangers() + twins() + disagreements() + wrongEffects()
  }

  /// The same for people: a few of them, and how many there are.
  func summary() -> [String] {
    let faults = faults()
    return faults.count <= 5 ? faults : faults.prefix(5) + ["and \(faults.count - 5) more"]
  }

  private func lostOrUnfinished() -> [String] {
    let found = Dictionary(stored.map { ($0.id, $0) }) { $1 }
    return journal.acknowledged.keys.compactMap { id in
      guard let row = found[id] else { return "\(id) was acknowledged and is not there" }
      return row.status == Code.success ? nil : "\(id) was acknowledged and ended with status \(row.status)"
    }
  }

  /// Tasks that nobody was told of must be those whose answer was lost.
  private func strangers() -> [String] {
    stored.compactMap { row in
      if let number = journal.acknowledged[row.id] {
        return number == row.number ? nil : "\(row.id) is number \(row.number ?? -1) and was acknowledged as \(number)"
      }
      guard let number = row.number, journal.unknown.contains(number) else { return "\(row.id) was never submitted" }
      guard let named = journal.named[number], named != row.id else { return nil }
      return "\(row.id) was stored, and the client was told to look for \(named)"
    }
  }

  private func twins() -> [String] {
    let copies = Dictionary(grouping: stored.filter { $0.number != nil }) { $0.number }.values.filter { $0.count > 1 }
    return copies.map { rows in "number \(rows[0].number ?? -1) was accepted \(rows.count) times" }
  }

  private func disagreements() -> [String] {
    Set(listed).symmetricDifference(stored).map { "the API and the database disagree about \($0)" }
  }

  private func wrongEffects() -> [String] {
    guard let effects else { return [] }
    var faults: [String] = []
    var attempts: [String: Set<Int>] = [:]
    for effect in effects {
      let before = attempts[effect.task, default: []]
      if !attempts[effect.task, default: []].insert(effect.attempt).inserted {
        faults.append("attempt \(effect.attempt) of \(effect.task) was carried out twice")
      }
      let isLost = lost.contains(StoredAttempt(task: effect.task, number: effect.attempt))
      if !isLost, before.contains(where: { $0 > effect.attempt }) {
        faults.append("attempt \(effect.attempt) of \(effect.task) still ran when a later one did, and was not lost")
      }
    }
    for row in stored {
      guard let done = attempts.removeValue(forKey: row.id) else {
        faults.append("\(row.id) is SUCCESS and was never carried out")
        continue
      }
      if !done.contains(row.attempt) {
        faults.append("\(row.id) succeeded in attempt \(row.attempt), which did nothing")
      }
      if done.contains(where: { $0 > row.attempt }) { faults.append("\(row.id) had more attempts than it knows of") }
    }
    return faults + attempts.keys.map { "\($0) was carried out and is not stored" }
  }
}

extension Checker {
  init(journal: Journal.Book, effects: [Effect]?, api: API, database: some TaskDatabase) async throws {
    let listed = try await api.allTasks().map { task in
      StoredTask(
        id: task["id"]?.string ?? "", status: task["status"]?.string == "SUCCESS" ? Code.success : -1,
        attempt: task["attempt"]?.int ?? -1, number: task["metadata"]?["number"]?.string.flatMap { Int($0) })
    }
    let lost = try await database.attempts(ended: Code.lost) + database.attempts(ended: Code.timedOut)
    self.init(journal: journal, effects: effects, listed: listed, stored: try await database.rows(), lost: Set(lost))
  }

  /// Tasks with more than one attempt tell all of it by the API: every attempt, and every event without a gap.
  /// - Parameters:
  ///   - limit: how many of them are asked about.
  ///   - failures: how attempts before the last one may have ended.
  func brokenHistories(_ api: API, limit: Int = .max, failures: Set<String> = ["LOST"]) async throws -> [String] {
    var faults: [String] = []
    for row in stored.filter({ $0.attempt > 1 }).prefix(limit) {
      let attempts = try await api.attempts(of: row.id)
      let outcomes = attempts.map { $0["outcome"]?.string ?? "none" }
      if outcomes.last != "SUCCESS" || !outcomes.dropLast().allSatisfy(failures.contains) {
        faults.append("\(row.id): attempts \(outcomes)")
      }
      if attempts.map({ $0["number"]?.int }) != Array(1...row.attempt) {
        faults.append("\(row.id): numbers of attempts")
      }
      let sequence = try await api.events(of: row.id).map { $0["sequence"]?.int }
      if sequence != Array(1...max(1, sequence.count)) { faults.append("\(row.id): events \(sequence)") }
    }
    return faults
  }
}

extension Checker.Effect {
  /// What a WEBHOOK_CALL says of itself.
  init(headers: [String: String]) {
    self.init(task: headers["idempotency-key"] ?? "", attempt: Int(headers["x-martlet-attempt"] ?? "") ?? -1)
  }
}
