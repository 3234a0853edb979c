// A database as its own shell reads it, with nothing of Martlet between: the last witness of the checker.

protocol TaskDatabase: Sendable {
  func rows() async throws -> [StoredTask]
  /// Ended attempts with this outcome that have a row of their own.
  func attempts(ended outcome: Int) async throws -> [StoredAttempt]
  /// What does not hold although no crash may break it.
  func faults() async throws -> [String]
}

/// A row of `task_runs`, with what its body says.
struct StoredTask: Sendable, Hashable {
  var id: String
  var status: Int
  var attempt: Int
  /// The number that the client gave it.
  var number: Int?

  /// From the columns id, status, attempt, number.
  init(columns: [String]) throws {
    guard columns.count == 4, let status = Int(columns[1]), let attempt = Int(columns[2]) else {
      throw UnreadableRow(columns: columns)
    }
    self.init(id: columns[0], status: status, attempt: attempt, number: Int(columns[3]))
  }

  init(id: String, status: Int, attempt: Int, number: Int?) {
    self.id = id
    self.status = status
    self.attempt = attempt
    self.number = number
  }
}

struct StoredAttempt: Sendable, Hashable {
  var task: String
  var number: Int

  init(columns: [String]) throws {
    guard columns.count == 2, let number = Int(columns[1]) else { throw UnreadableRow(columns: columns) }
    self.init(task: columns[0], number: number)
  }

  init(task: String, number: Int) {
    self.task = task
    self.number = number
  }
}

/// The codes of statuses and outcomes; they are for ever.
enum Code {
  static let success = 5
  static let timedOut = 3
  static let lost = 4
  static let released = 7
}

struct UnreadableRow: Error {
  let columns: [String]
}
