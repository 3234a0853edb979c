// Holds three witnesses against each other when all is at rest: what clients were told (the journal), what was done
// (the effects) and what is stored (the API, and the file behind it).

internal import MartletCore

struct Checker: Sendable {
  /// Something done to the outside world by an attempt.
  struct Effect: Sendable, Hashable {
    var task: String
    var attempt: Int
  }

  let journal: Journal.Book
  /// Nil where the tasks leave no trace outside.
  let effects: [Effect]?
  /// As the API lists them.
  let listed: [DatabaseFile.Row]
  /// As they stand in the file.
  let stored: [DatabaseFile.Row]

  /// Every broken promise; none if all is well.
  func faults() -> [String] {
    journal.faults + lostOrUnfinished() + strangers() + disagreements() + wrongEffects()
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
      return row.status == DatabaseFile.success ? nil : "\(id) was acknowledged and ended with status \(row.status)"
    }
  }

  /// Tasks that nobody was told of must be those whose answer was lost.
  private func strangers() -> [String] {
    stored.compactMap { row in
      if let number = journal.acknowledged[row.id] {
        return number == row.number ? nil : "\(row.id) is number \(row.number ?? -1) and was acknowledged as \(number)"
      }
      return row.number.map(journal.unknown.contains) == true ? nil : "\(row.id) was never submitted"
    }
  }

  private func disagreements() -> [String] {
    Set(listed).symmetricDifference(stored).map { "the API and the file disagree about \($0)" }
  }

  private func wrongEffects() -> [String] {
    guard let effects else { return [] }
    var faults: [String] = []
    var attempts: [String: Set<Int>] = [:]
    for effect in effects where !attempts[effect.task, default: []].insert(effect.attempt).inserted {
      faults.append("attempt \(effect.attempt) of \(effect.task) was carried out twice")
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
  init(journal: Journal.Book, effects: [Effect]?, api: API, file: DatabaseFile) async throws {
    let listed = try await api.allTasks().map { task in
      DatabaseFile.Row(
        id: task["id"]?.string ?? "", status: task["status"]?.string == "SUCCESS" ? DatabaseFile.success : -1,
        attempt: task["attempt"]?.int ?? -1, number: task["metadata"]?["number"]?.string.flatMap { Int($0) })
    }
    self.init(journal: journal, effects: effects, listed: listed, stored: try await file.rows())
  }
}
