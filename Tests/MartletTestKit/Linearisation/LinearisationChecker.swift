// Decides whether what several callers were told by an object that they used at once can be explained by some order in which it
// did one thing after the other, each between its call and its answer (Herlihy and Wing 1990). The search is that of Wing and Gong
// with the memory of Lowe: no set of carried-out operations is looked at twice in the same state of the object. Used by the tests
// of concurrent histories, one object (a task) at a time: a history is linearisable if that of each object is.

/// What an object does when nobody else is at it.
package protocol SequentialSpecification: Sendable {
  associatedtype State: Hashable & Sendable
  associatedtype Call: Sendable
  associatedtype Answer: Sendable

  var initial: State { get }

  /// The states in which the object may be after `call`, made in `state`, was answered so: none where it cannot be answered so.
  /// - Parameter answer: nil where nobody heard it.
  func after(_ call: Call, _ answer: Answer?, in state: State) -> [State]

  /// True if it can change nothing, whatever the state: it may be left out of a history without making it harder to explain.
  func isHarmless(_ call: Call, _ answer: Answer?) -> Bool
}

/// One call and what came of it. Calls that certainly did nothing do not belong into a history.
package struct Operation<Call: Sendable, Answer: Sendable>: Sendable {
  /// Who called.
  package var client: String
  package var call: Call
  /// Nil: it may have been carried out at any time since, may yet be, or never.
  package var answer: Answer?
  /// Numbers in the order of time, different for all beginnings and ends of a history.
  package var invoked: Int
  package var returned: Int?

  package init(client: String, call: Call, answer: Answer?, invoked: Int, returned: Int?) {
    self.client = client
    self.call = call
    self.answer = answer
    self.invoked = invoked
    self.returned = answer == nil ? nil : returned
  }

  package func overlaps(_ other: Self) -> Bool {
    invoked < other.returned ?? .max && other.invoked < returned ?? .max
  }
}

package enum Linearisation<State: Sendable>: Sendable {
  /// The positions of the operations in an order that explains all answers, and the state at its end. Operations without an answer
  /// that need not have happened are missing.
  case found(order: [Int], end: State)
  /// There is none. The longest explanation of a beginning, the state after it, and what could have come next.
  case none(longest: [Int], state: State, candidates: [Int])
  /// So many configurations were looked at without an end.
  case undecided(Int)

  package var isFound: Bool { if case .found = self { true } else { false } }
  package var isRefuted: Bool { if case .none = self { true } else { false } }
}

package struct LinearisationChecker<Specification: SequentialSpecification> {
  package typealias History = [Operation<Specification.Call, Specification.Answer>]

  let specification: Specification
  /// Configurations looked at before it gives up.
  let patience: Int

  package init(_ specification: Specification, patience: Int = 1_000_000) {
    self.specification = specification
    self.patience = patience
  }

  package func check(_ history: History) -> Linearisation<Specification.State> {
    var search = Search(specification, history)
    return search.run(patience: patience)
  }

  private struct Configuration: Hashable {
    var done: Positions
    var state: Specification.State
  }

  private struct Frame {
    var configuration: Configuration
    /// Where the search may go from here: the last one is the next to be tried.
    var moves: [(operation: Int, state: Specification.State)]
  }

  private struct Search {
    let specification: Specification
    let history: History
    let answered: Int
    var seen: Set<Configuration> = []
    var longest: [Int] = []
    var mostExplained = 0
    var longestState: Specification.State

    init(_ specification: Specification, _ history: History) {
      self.specification = specification
      self.history = history
      answered = history.count { $0.answer != nil }
      longestState = specification.initial
    }

    mutating func run(patience: Int) -> Linearisation<Specification.State> {
      let start = Configuration(done: Positions(count: history.count), state: specification.initial)
      guard answered > 0 else { return .found(order: [], end: start.state) }
      seen.insert(start)
      var order: [Int] = []
      var path = [Frame(configuration: start, moves: moves(from: start))]
      while let frame = path.last {
        guard let move = frame.moves.last else {
          path.removeLast()
          if !path.isEmpty { order.removeLast() }
          continue
        }
        path[path.count - 1].moves.removeLast()
        var next = Configuration(done: frame.configuration.done, state: move.state)
        next.done.insert(move.operation)
        guard seen.insert(next).inserted else { continue }
        if seen.count > patience { return .undecided(seen.count) }
        order.append(move.operation)
        let explained = order.count { history[$0].answer != nil }
        if explained == answered { return .found(order: order, end: next.state) }
        if explained > mostExplained { (mostExplained, longest, longestState) = (explained, order, next.state) }
        path.append(Frame(configuration: next, moves: moves(from: next)))
      }
      let done = Positions(count: history.count, longest)
      return .none(longest: longest, state: longestState, candidates: candidates(besides: done))
    }

    /// Those that nothing still to be explained has come before.
    private func candidates(besides done: Positions) -> [Int] {
      let open = history.indices.filter { !done.contains($0) }
      let firstEnd = open.compactMap { history[$0].returned }.min() ?? .max
      return open.filter { history[$0].invoked < firstEnd }
    }

    private func moves(from configuration: Configuration) -> [(operation: Int, state: Specification.State)] {
      var moves: [(operation: Int, state: Specification.State)] = []
      for index in candidates(besides: configuration.done) {
        let operation = history[index]
        let next = specification.after(operation.call, operation.answer, in: configuration.state)
        if operation.answer != nil, next == [configuration.state],
          specification.isHarmless(operation.call, operation.answer)
        {
          // It fits here and can change nothing: what can be explained with it later can be explained with it now.
          return [(index, configuration.state)]
        }
        // What nobody was told of need not have happened: only what it would have changed makes a difference.
        for state in next where operation.answer != nil || state != configuration.state { moves.append((index, state)) }
      }
      // Tried last to first: what was answered first goes first, and what was not answered last of all.
      return moves.sorted { history[$0.operation].returned ?? .max > history[$1.operation].returned ?? .max }
    }
  }
}

/// A set of positions in a history.
private struct Positions: Hashable {
  private var words: [UInt64]

  init(count: Int, _ members: [Int] = []) {
    words = Array(repeating: 0, count: (count + 63) / 64)
    for member in members { insert(member) }
  }

  func contains(_ position: Int) -> Bool { words[position / 64] & (1 << UInt64(position % 64)) != 0 }
  mutating func insert(_ position: Int) { words[position / 64] |= 1 << UInt64(position % 64) }
}
