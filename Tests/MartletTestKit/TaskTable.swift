// The tasks of the reference model: a dictionary that remembers how those were which a transaction touches, so that what it did can be
// told without looking at all of them.

internal import MartletCore

struct TaskTable {
  private var all: [TaskID: MemoryTask] = [:]
  /// What the transaction under way has touched, as it was before; nil for what was not there.
  private(set) var before: [TaskID: MemoryTask?] = [:]

  subscript(id: TaskID) -> MemoryTask? {
    get { all[id] }
    _modify {
      if before[id] == nil { before[id] = .some(all[id]) }
      yield &all[id]
    }
  }

  var values: Dictionary<TaskID, MemoryTask>.Values { all.values }
  var keys: Dictionary<TaskID, MemoryTask>.Keys { all.keys }

  /// A new transaction begins.
  mutating func begin() {
    before.removeAll(keepingCapacity: true)
  }

  /// Those that have told events in this transaction, in order of their ids, with the first that is new.
  var moved: [(task: MemoryTask, first: Int)] {
    before.keys.sorted().compactMap { id in
      guard let task = all[id] else { return nil }
      let first = (before[id]??.record.sequence ?? 0) + 1
      return task.record.sequence >= first ? (task, first) : nil
    }
  }
}
