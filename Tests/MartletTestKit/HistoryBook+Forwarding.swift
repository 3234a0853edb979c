// A task's whole history, for tests, and the history of stores within stores.

package import MartletCore

extension HistoryBook {
  /// All attempts, first to last; nil where there is no such task.
  package func attempts(of id: TaskID) async throws(StoreError) -> [AttemptRecord]? {
    try await whole { (after) throws(StoreError) in try await attempts(of: id, after: after, limit: 1000) }
  }

  /// All events in order; nil where there is no such task.
  package func events(of id: TaskID) async throws(StoreError) -> [TaskEvent]? {
    try await whole { (after) throws(StoreError) in try await events(of: id, after: after, limit: 1000) }
  }

  private func whole<Element>(
    _ read: (Int) async throws(StoreError) -> HistoryPage<Element>?
  ) async throws(StoreError) -> [Element]? {
    var elements: [Element] = []
    var after: Int? = 0
    while let last = after {
      guard let page = try await read(last) else { return nil }
      elements += page.elements
      after = page.next
    }
    return elements
  }
}

extension FaultyStore {
  package func attempts(
    of id: TaskID, after number: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<AttemptRecord>? {
    try await call(.attempts) { () async throws(StoreError) in
      try await inner.attempts(of: id, after: number, limit: limit)
    }
  }

  package func events(
    of id: TaskID, after sequence: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<TaskEvent>? {
    try await call(.events) { () async throws(StoreError) in
      try await inner.events(of: id, after: sequence, limit: limit)
    }
  }
}

extension SimulatedLink {
  package func attempts(
    of id: TaskID, after number: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<AttemptRecord>? {
    try await call { (store) throws(StoreError) in try await store.attempts(of: id, after: number, limit: limit) }
  }

  package func events(
    of id: TaskID, after sequence: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<TaskEvent>? {
    try await call { (store) throws(StoreError) in try await store.events(of: id, after: sequence, limit: limit) }
  }
}
