// What stands beside the store, in memory: a dispatch queue, remembered keys and a bell for the nodes of a test. It can be away, be
// full, forget everything and give out twice, as the real one may.

package import MartletCore
package import MartletEngine
internal import Synchronization

package final class MemoryAccelerator: Sendable {
  package struct Faults: Sendable {
    /// Nothing is answered but that it is not there.
    package var isAway = false
    /// Nothing new is taken.
    package var isFull = false
    /// What is given out stays to be given out.
    package var givesTwice = false

    package init(isAway: Bool = false, isFull: Bool = false, givesTwice: Bool = false) {
      self.isAway = isAway
      self.isFull = isFull
      self.givesTwice = givesTwice
    }
  }

  private let clock: any EngineClock
  private let state = Mutex(State())

  private struct State {
    var faults = Faults()
    var waiting: [TaskID: DispatchEntry] = [:]
    var taken: [TaskID: (entry: DispatchEntry, until: MonotonicTime)] = [:]
    var turnUntil: MonotonicTime?
    var keys: [String: KnownKey] = [:]
    var listeners: [@Sendable (Set<Lane>?) -> Void] = []
    var calls: [String: Int] = [:]
  }

  package init(clock: any EngineClock) {
    self.clock = clock
  }

  package var accelerators: Accelerators {
    Accelerators(name: "redis", dispatcher: self, keys: self, bell: self) { [self] in
      faults.isAway ? "it is away" : nil
    }
  }

  package var faults: Faults {
    get { state.withLock(\.faults) }
    set { state.withLock { $0.faults = newValue } }
  }

  /// As FLUSHALL does.
  package func forgetAll() {
    state.withLock { state in
      (state.waiting, state.taken, state.turnUntil, state.keys) = ([:], [:], nil, [:])
    }
  }

  /// As a hash that somebody has written into.
  package func putKey(_ key: String, _ known: KnownKey) {
    state.withLock { $0.keys[key] = known }
  }

  package var waiting: Int { state.withLock { $0.waiting.count } }

  package func calls(of operation: String) -> Int {
    state.withLock { $0.calls[operation, default: 0] }
  }

  private func call<Answer>(
    _ operation: String, writes: Bool = false, _ body: (inout State) -> Answer
  ) throws(AcceleratorFailure) -> Answer {
    let answer: Answer? = state.withLock { state in
      state.calls[operation, default: 0] += 1
      if state.faults.isAway || writes && state.faults.isFull { return nil }
      return body(&state)
    }
    guard let answer else { throw AcceleratorFailure("\(operation): simulated") }
    return answer
  }
}

extension MemoryAccelerator: Dispatcher {
  package func push(_ entries: [DispatchEntry]) async throws(AcceleratorFailure) {
    guard !entries.isEmpty else { return }
    try call("push", writes: true) { state in
      for entry in entries where state.taken[entry.id] == nil { state.waiting[entry.id] = entry }
    }
  }

  package func take(_ requests: [ClaimRequest]) async throws(AcceleratorFailure) -> [[TaskID]] {
    let now = clock.now
    return try call("take") { state in
      for (id, taken) in state.taken where taken.until <= now {
        state.taken[id] = nil
        state.waiting[id] = taken.entry
      }
      return requests.map { request in
        let chosen = state.waiting.values.filter { request.takes($0.lane) }
          .sorted { (-$0.priority, $0.availableAt, $0.id) < (-$1.priority, $1.availableAt, $1.id) }
          .prefix(request.limit)
        for entry in chosen where !state.faults.givesTwice {
          state.waiting[entry.id] = nil
          state.taken[entry.id] = (entry, now + .seconds(5))
        }
        return chosen.map(\.id)
      }
    }
  }

  package func forget(_ ids: [TaskID]) async throws(AcceleratorFailure) {
    try call("forget") { state in
      for id in ids { state.taken[id] = nil }
    }
  }

  package func giveBack(_ ids: [TaskID]) async throws(AcceleratorFailure) {
    try call("giveBack") { state in
      for id in ids {
        if let taken = state.taken.removeValue(forKey: id) { state.waiting[id] = taken.entry }
      }
    }
  }

  package func unknown(among entries: [DispatchEntry]) async throws(AcceleratorFailure) -> [DispatchEntry] {
    try call("unknown") { state in
      entries.filter { state.waiting[$0.id] == nil && state.taken[$0.id] == nil }
    }
  }

  package func check() async throws(AcceleratorFailure) {
    try call("check") { _ in }
  }

  package func takeTurn(for duration: Duration) async throws(AcceleratorFailure) -> Bool {
    let now = clock.now
    return try call("takeTurn", writes: true) { state in
      if let end = state.turnUntil, end > now { return false }
      state.turnUntil = now + duration
      return true
    }
  }
}

extension MemoryAccelerator: KeyMemory {
  package func find(_ key: String) async throws(AcceleratorFailure) -> KnownKey? {
    try call("find") { $0.keys[key] }
  }

  package func remember(
    _ keys: [(text: String, known: KnownKey)], for duration: Duration
  ) async throws(AcceleratorFailure) {
    try call("remember", writes: true) { state in
      for key in keys { state.keys[key.text] = key.known }
    }
  }
}

extension MemoryAccelerator: LaneBell {
  /// Also rings for the node itself, which does no harm.
  package func ring(_ lanes: Set<Lane>) async throws(AcceleratorFailure) {
    let listeners = try call("ring") { $0.listeners }
    for listener in listeners { listener(lanes) }
  }

  package func listen(_ hear: @escaping @Sendable (Set<Lane>?) -> Void) {
    state.withLock { $0.listeners.append(hear) }
  }
}
