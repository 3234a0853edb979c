// Claimed tasks on their way to a free slot: the local queue of a worker. It knows how many slots are free, so that no more is
// claimed than will be started soon.

internal import DequeModule
internal import MartletCore
internal import Synchronization

final class WorkQueue: Sendable {
  struct Entry: Sendable {
    let task: ClaimedTask
    let context: AttemptContext
    let signal: AttemptSignal
  }

  private let state: Mutex<State>

  private struct State {
    /// As many as there should be.
    var slots: Int
    /// As many as there are. Slots too many close when they come back from an attempt.
    var open = 0
    var entries = Deque<Entry>()
    var idle = Deque<CheckedContinuation<Entry?, Never>>()
    var busy = 0
    var isClosed = false
    var claimer: CheckedContinuation<Bool, Never>?
    /// The mean time from taking an entry to coming back for the next, in seconds, weighted towards the latest.
    var meanSeconds: Double?
  }

  /// What may be claimed now.
  struct Room: Sendable {
    var limit: Int
    /// How many of them would wait for a slot.
    var ahead: Int
  }

  /// Nothing is claimed that would, as things go, start later than this.
  private static let horizonSeconds = 0.5
  private static let mostAhead = 1000

  init(slots: Int) {
    state = Mutex(State(slots: slots))
  }

  /// How many there should be.
  var slots: Int { state.withLock(\.slots) }

  /// How many slots are to be opened now, so that there are as many as there should be.
  func openSlots() -> Int {
    state.withLock { state in
      guard !state.isClosed, state.open < state.slots else { return 0 }
      defer { state.open = state.slots }
      return state.slots - state.open
    }
  }

  /// From now on there should be so many slots. Idle ones too many are closed at once.
  func resize(to slots: Int) {
    let (idle, claimer) = state.withLock { state in
      state.slots = slots
      var idle: [CheckedContinuation<Entry?, Never>] = []
      while state.open > slots, let slot = state.idle.popLast() {
        state.open -= 1
        idle.append(slot)
      }
      return (idle, takeClaimer(&state))
    }
    for slot in idle { slot.resume(returning: nil) }
    claimer?.resume(returning: true)
  }

  /// The next entry for a slot; nil when the slot is closed. `spent`: how long the slot's last attempt took.
  func next(after spent: Duration?) async -> Entry? {
    await withCheckedContinuation { continuation in
      let (entry, isAnswered, claimer) = state.withLock { state -> (Entry?, Bool, CheckedContinuation<Bool, Never>?) in
        if let spent {
          state.busy -= 1
          let seconds = spent.secondsAsDouble
          state.meanSeconds = state.meanSeconds.map { $0 * 0.95 + seconds * 0.05 } ?? seconds
        }
        if state.isClosed { return (nil, true, nil) }
        if state.open > state.slots {
          state.open -= 1
          return (nil, true, nil)
        }
        if let entry = state.entries.popFirst() {
          state.busy += 1
          return (entry, true, takeClaimer(&state))
        }
        state.idle.append(continuation)
        return (nil, false, takeClaimer(&state))
      }
      if isAnswered { continuation.resume(returning: entry) }
      claimer?.resume(returning: true)
    }
  }

  /// What comes after the queue was closed is returned.
  func add(_ entries: [Entry]) -> [Entry] {
    let handed = state.withLock { state -> [(CheckedContinuation<Entry?, Never>, Entry)]? in
      if state.isClosed { return nil }
      var handed: [(CheckedContinuation<Entry?, Never>, Entry)] = []
      for entry in entries {
        if let slot = state.idle.popFirst() {
          state.busy += 1
          handed.append((slot, entry))
        } else {
          state.entries.append(entry)
        }
      }
      return handed
    }
    guard let handed else { return entries }
    for (slot, entry) in handed { slot.resume(returning: entry) }
    return []
  }

  /// Returns as soon as more should be claimed; false when closed.
  func hasRoom() async -> Bool {
    await withCheckedContinuation { continuation in
      let answer = state.withLock { state -> Bool? in
        if state.isClosed { return false }
        state.claimer = continuation
        return takeClaimer(&state) == nil ? nil : true
      }
      if let answer { continuation.resume(returning: answer) }
    }
  }

  /// What may be claimed now.
  var room: Room {
    state.withLock { state in
      let free = free(state)
      let limit = max(1, state.slots - state.busy + wantedAhead(state) - state.entries.count)
      return Room(limit: limit, ahead: max(0, limit - free))
    }
  }

  /// Slots get nothing more; what was not started is returned.
  func close() -> [Entry] {
    let (rest, idle, claimer) = state.withLock { state in
      state.isClosed = true
      defer {
        state.entries = []
        state.idle = []
        state.claimer = nil
      }
      return (Array(state.entries), Array(state.idle), state.claimer)
    }
    for slot in idle { slot.resume(returning: nil) }
    claimer?.resume(returning: false)
    return rest
  }

  var busy: Int { state.withLock(\.busy) }

  /// The one who waits for room, if there is enough to make a claim worth its while.
  private func takeClaimer(_ state: inout State) -> CheckedContinuation<Bool, Never>? {
    let ahead = wantedAhead(state)
    guard free(state) > 0 || state.entries.count * 2 < ahead else { return nil }
    defer { state.claimer = nil }
    return state.claimer
  }

  /// Slots for which nothing waits.
  private func free(_ state: State) -> Int {
    max(0, state.slots - state.busy - state.entries.count)
  }

  private func wantedAhead(_ state: State) -> Int {
    guard let mean = state.meanSeconds else { return 0 }
    return Int(min(Double(Self.mostAhead), Double(state.slots) * Self.horizonSeconds / max(mean, 1e-6)))
  }
}
