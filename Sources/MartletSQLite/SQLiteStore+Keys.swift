// Idempotency keys, taken in the transaction that writes their tasks. The one writer makes concurrent requests of a key wait for
// the first. Called by `submit`; retention takes a key away with its tasks.

internal import MartletCore

/// What the keys of a submission are found to be.
struct KnownKeys {
  /// Tasks of the submission, by position, that are there already under their keys.
  var earlier: [Int: TaskID] = [:]
  /// The same by the ids that the submission gives them.
  var replaced: [TaskID: TaskID] = [:]
  /// Keys seen for the first time.
  var new: [IdempotencyKey] = []
}

extension WriteTransaction {
  enum KeyVerdict {
    case known(KnownKeys)
    /// This key stands for another request.
    case reused(String)
  }

  func knownKeys(of submission: Submission) throws -> KeyVerdict {
    var keys = KnownKeys()
    for key in submission.keys {
      let rows = try prepared("SELECT task, fingerprint FROM idempotency_keys WHERE key = ?1 ORDER BY position")
        .rows(key.text) { (task: try $0.id(), fingerprint: $0.blob()) }
      guard let first = rows.first else {
        keys.new.append(key)
        continue
      }
      if first.fingerprint != key.fingerprint { return .reused(key.text) }
      for (position, row) in zip(key.tasks, rows) {
        let id = submission.tasks[position].id
        if row.task == id { continue }  // the same call once more
        keys.earlier[position] = row.task
        keys.replaced[id] = row.task
      }
    }
    return .known(keys)
  }

  func take(_ keys: [IdempotencyKey], of submission: Submission) throws {
    let insert = try prepared(
      """
      INSERT INTO idempotency_keys (key, position, task, fingerprint, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
      ON CONFLICT DO NOTHING
      """)
    for key in keys {
      for (number, position) in key.tasks.enumerated() {
        try insert.run(key.text, number, submission.tasks[position].id, key.fingerprint, now)
      }
    }
  }

  /// A key is answered with all of its tasks or not at all: it goes with the first of them.
  func deleteKeys(of task: TaskID) throws {
    try prepared("DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM idempotency_keys WHERE task = ?1)")
      .run(task)
  }
}
