// A promise that was broken, and what had happened until then.

package import MartletCore
internal import Synchronization

package struct Violation: Error, Sendable, CustomStringConvertible {
  /// The promise by its number in docs/guarantees.md: `G3`.
  package let promise: String
  package let text: String
  /// Whom it is about; empty for the whole world.
  package let tasks: [TaskID]

  package init(_ promise: String, _ text: String, tasks: [TaskID] = []) {
    self.promise = promise
    self.text = text
    self.tasks = tasks
  }

  package var description: String { "\(promise): \(text)" }
}

/// What happened in a world, first to last. Cheap to write; read only where something is wrong.
package final class Chronicle: Sendable {
  private struct Entry {
    var at: Timestamp
    var text: String
    var changes: [Change]
  }

  /// Of one task in one transaction.
  struct Change: Sendable {
    var task: TaskID
    var from: TaskStatus?
    var to: TaskStatus?
    var attempt: Int
    var last: TaskEventType?
  }

  private let entries = Mutex<[Entry]>([])

  func write(_ text: String, at: Timestamp, changes: [Change] = []) {
    entries.withLock { $0.append(Entry(at: at, text: text, changes: changes)) }
  }

  /// The last lines that are about these tasks, and what befell the whole world.
  package func lines(about tasks: [TaskID], last: Int = 60) -> [String] {
    let about = Set(tasks)
    let entries = entries.withLock(\.self)
    guard let begin = entries.first?.at else { return [] }
    var lines: [String] = []
    for entry in entries {
      let changes = entry.changes.filter { about.isEmpty || about.contains($0.task) }
      guard entry.changes.isEmpty || !changes.isEmpty else { continue }
      let seconds = Double((entry.at - begin).wholeMilliseconds) / 1000
      let told = changes.map { change in
        let end = change.to?.rawValue ?? "gone"
        let last = change.last.map { ", \($0.rawValue)" } ?? ""
        return
          "  …\(change.task.description.suffix(6)) \(change.from?.rawValue ?? "new") → \(end) (\(change.attempt)\(last))"
      }
      lines.append(([" \(seconds) s  \(entry.text)"] + told).joined())
    }
    let left = max(0, lines.count - last)
    return (left > 0 ? [" … \(left) lines before"] : []) + lines.suffix(last)
  }
}
