// Makes a history that nobody can explain as short as a reader wants it: what comes after the contradiction and what has nothing
// to do with it is left out. What remains is still a proof.

extension LinearisationChecker {
  /// - Parameter history: one that has no explanation.
  package func shortened(_ history: History) -> History {
    var short = upToContradiction(history)
    // From the end: what was asked last has most often nothing to do with it.
    for index in short.indices.reversed() where specification.isHarmless(short[index].call, short[index].answer) {
      var shorter = short
      shorter.remove(at: index)
      if check(shorter).isRefuted { short = shorter }
    }
    return short
  }

  /// A beginning of a history that can be explained can be explained: so there is a first moment from which on it cannot be.
  private func upToContradiction(_ history: History) -> History {
    let ends = history.compactMap(\.returned).sorted()
    var (explained, refuted) = (-1, ends.count - 1)
    while refuted - explained > 1 {
      let middle = (explained + refuted) / 2
      if check(beginning(of: history, until: ends[middle])).isRefuted { refuted = middle } else { explained = middle }
    }
    return ends.isEmpty ? history : beginning(of: history, until: ends[refuted])
  }

  /// What was known at a moment: calls made by then, and the answers that had come.
  private func beginning(of history: History, until moment: Int) -> History {
    history.filter { $0.invoked <= moment }.map { operation in
      guard operation.returned ?? .max > moment else { return operation }
      return Operation(
        client: operation.client, call: operation.call, answer: nil, invoked: operation.invoked, returned: nil)
    }
  }
}
