// What this node knows of queues whose claims are counted: which they are, and which of them need not be asked again before
// something has happened. Only hints where to look; the truth is decided under the queue's lock, and whatever is missed here is
// found by the look of each second.

internal import Synchronization

final class LimitedQueues: Sendable {
  private let state = Mutex(State())

  private struct State {
    var places: [String: Place] = [:]
    var isCountingDear = false
  }

  private struct Place {
    /// In the node's milliseconds; nil while it may be asked.
    var closedUntil: Int64?
    /// It waits for a token rather than for an end.
    var isEmptied = false
    /// Changes whenever something has happened that may have made room.
    var version = 0
    /// Lanes in which this node could have had more.
    var wantedHere: Set<Int32> = []
    /// The same of other nodes.
    var wantedElsewhere: Set<Int32> = []
    /// An attempt has ended here of which no other node was told.
    var hasUntoldEnd = false

    mutating func reopen() {
      closedUntil = nil
      version += 1
      wantedHere = []
    }
  }

  /// How long a full queue is not asked if nothing is heard of it.
  static let rest: Int64 = 1000

  var isEmpty: Bool { state.withLock { $0.places.isEmpty } }
  var names: Set<String> { state.withLock { Set($0.places.keys) } }

  /// Which of the two kinds of queues is asked first, by chance: neither may starve the other, whoever else asks in between.
  /// - Parameter token: a random number of this look alone.
  func isLimitedFirst(_ token: Int64) -> Bool { !isEmpty && token & 1 == 0 }

  /// Much has to be added up to know what runs.
  func countingIsDear() {
    state.withLock { $0.isCountingDear = true }
  }

  /// True once after each of these.
  func isCountingDear() -> Bool {
    state.withLock { state in
      defer { state.isCountingDear = false }
      return state.isCountingDear
    }
  }

  /// Of the queues that satisfy `isAsked` these are the limited ones.
  func found(_ limited: Set<String>, among isAsked: (String) -> Bool) {
    state.withLock { state in
      for queue in state.places.keys where isAsked(queue) && !limited.contains(queue) { state.places[queue] = nil }
      for queue in limited where state.places[queue] == nil { state.places[queue] = Place() }
    }
  }

  func set(_ queue: String, isLimited: Bool) {
    state.withLock { $0.places[queue] = isLimited ? Place() : nil }
  }

  /// What was known of room is not known any more.
  func reconsider() {
    state.withLock { state in
      for queue in Array(state.places.keys) { state.places[queue]?.reopen() }
    }
  }

  // MARK: Asking

  /// With what `close` has to be told; nil where it is not to be asked now.
  func open(_ queue: String, at now: Int64) -> Int? {
    state.withLock { state in
      guard let place = state.places[queue] else { return 0 }
      if let until = place.closedUntil, now < until { return nil }
      return place.version
    }
  }

  /// How long its bucket is empty yet, as far as that is why it is not asked.
  func emptyFor(_ queue: String, at now: Int64) -> Int64? {
    state.withLock { state in
      guard let place = state.places[queue], place.isEmptied, let until = place.closedUntil, now < until else {
        return nil
      }
      return until - now
    }
  }

  /// It had no room when it was asked under this version. Without effect if something has happened since.
  /// - Parameter isEmptied: what it lacks is a token.
  func close(_ queue: String, _ version: Int, until: Int64, isEmptied: Bool) {
    state.withLock { state in
      guard var place = state.places[queue], place.version == version else { return }
      place.closedUntil = until
      place.isEmptied = isEmptied
      state.places[queue] = place
    }
  }

  /// Lanes that this node could have had more of, if the queue were not full: those that are not known to be.
  func want(_ lanes: some Sequence<Int32>, of queue: String) -> Set<Int32> {
    state.withLock { state in
      guard var place = state.places[queue], place.closedUntil != nil, !place.isEmptied else { return [] }
      let new = Set(lanes).subtracting(place.wantedHere)
      place.wantedHere.formUnion(new)
      state.places[queue] = place
      return new
    }
  }

  /// There may be room.
  func reopen(_ queue: String) {
    state.withLock { $0.places[queue]?.reopen() }
  }

  // MARK: Ends

  /// An attempt has ended here: lanes whose waiters are to be told, on this node and on others.
  func ended(in queue: String) -> (here: Set<Int32>, elsewhere: Set<Int32>) {
    state.withLock { state in
      guard var place = state.places[queue] else { return ([], []) }
      let told = (place.wantedHere, place.wantedElsewhere)
      place.reopen()
      place.hasUntoldEnd = told.1.isEmpty
      place.wantedElsewhere = []
      state.places[queue] = place
      return told
    }
  }

  /// Another node has found the queue full. True if an attempt has ended here of which it may not know.
  func isMissed(_ lane: Int32, of queue: String) -> Bool {
    state.withLock { state in
      var place = state.places[queue] ?? Place()
      defer { state.places[queue] = place }
      guard place.hasUntoldEnd else {
        place.wantedElsewhere.insert(lane)
        return false
      }
      place.hasUntoldEnd = false
      return true
    }
  }
}
