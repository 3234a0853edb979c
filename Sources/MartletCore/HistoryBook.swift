// The part of the store's contract that tells a task's history, page by page: a task that snoozes for ever has no end of attempts.

package protocol HistoryBook: Sendable {
  /// Attempts with numbers after `number`, first to last, with the running one; nil where there is no such task.
  /// - Parameter limit: 1…1000.
  func attempts(of id: TaskID, after number: Int, limit: Int) async throws(StoreError) -> HistoryPage<AttemptRecord>?

  /// Events after this `sequence`, in order and without a gap; nil where there is no such task.
  /// - Parameter limit: 1…1000.
  func events(of id: TaskID, after sequence: Int, limit: Int) async throws(StoreError) -> HistoryPage<TaskEvent>?
}

package struct HistoryPage<Element: Sendable & Hashable>: Sendable, Hashable {
  package var elements: [Element]
  /// The number or sequence after which the next page begins; nil after the last.
  package var next: Int?

  package init(_ elements: [Element], next: Int?) {
    self.elements = elements
    self.next = next
  }
}

/// The numbers of a page: as there are no gaps, it can be told before anything is read.
package struct HistoryRange: Sendable, Hashable {
  package var after: Int
  /// The last one.
  package var through: Int

  package init(after: Int, limit: Int) {
    self.after = max(0, after)
    through = self.after + min(limit, Int.max - self.after)
  }

  package init(after: Int, through: Int) {
    self.after = after
    self.through = through
  }

  package func contains(_ number: Int) -> Bool { number > after && number <= through }

  /// - Parameter latest: the highest number that there is.
  package func page<Element>(_ elements: [Element], latest: Int) -> HistoryPage<Element> {
    HistoryPage(elements, next: latest > through ? through : nil)
  }
}
