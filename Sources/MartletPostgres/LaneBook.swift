// What this node knows of lanes: their numbers, and for each how far its claims have come. Only memory of what the database
// says, and hints where to look first; losing it costs a longer look.

internal import MartletCore
internal import Synchronization

/// A row of `lanes`.
struct LaneKey: Hashable, Sendable {
  var queue: String
  var type: String
  var urgency: Int16
  /// Its tasks have lost a worker: perhaps they kill them. They are given to free slots only.
  var isSuspect = false

  var lane: Lane { Lane(queue: queue, type: type) }
  var priority: Int { 10 - Int(urgency) }
}

extension LaneKey {
  init(_ task: AcceptedTask) {
    self.init(queue: task.queue, type: task.type, urgency: Int16(10 - task.priority))
  }
}

/// A place in a lane's claim order. Whatever stands before it was claimed, but for what came late.
struct ClaimPosition: Comparable, Sendable {
  var availableAt: Int64
  var id: TaskID

  /// Before all tasks of this time.
  init(before availableAt: Int64) {
    self.init(availableAt: availableAt &- 1, id: TaskID(high: .max, low: .max))
  }

  init(availableAt: Int64, id: TaskID) {
    self.availableAt = availableAt
    self.id = id
  }

  static func < (left: ClaimPosition, right: ClaimPosition) -> Bool {
    (left.availableAt, left.id) < (right.availableAt, right.id)
  }
}

final class LaneBook: Sendable {
  private let state = Mutex(State())

  private struct State {
    var numbers: [LaneKey: Int32] = [:]
    var keys: [Int32: LaneKey] = [:]
    /// Lanes that may have something to claim.
    var promises: [Int32: Promise] = [:]
    var version = 0
    /// How often all was forgotten.
    var epoch = 0
  }

  private struct Promise {
    var since: ClaimPosition
    /// Changes whenever it is set back.
    var version: Int
  }

  /// A lane to look at, and from where.
  struct Look: Sendable {
    var lane: Int32
    var key: LaneKey
    var since: ClaimPosition
    fileprivate var version: Int
  }

  func number(of key: LaneKey) -> Int32? {
    state.withLock { $0.numbers[key] }
  }

  func key(of number: Int32) -> LaneKey? {
    state.withLock { $0.keys[number] }
  }

  /// Lanes remembered; with more than these all are forgotten, and asked for anew.
  private static let most = 100_000

  func learn(_ number: Int32, _ key: LaneKey) {
    state.withLock { state in
      if state.keys.count >= Self.most { state = State(version: state.version, epoch: state.epoch + 1) }
      state.numbers[key] = number
      state.keys[number] = key
    }
  }

  /// The database may be another than it was: one restored, or a standby that was behind.
  func forget() {
    state.withLock { $0 = State(version: $0.version + 1, epoch: $0.epoch + 1) }
  }

  /// Looks that are under way may have passed by what is given out now: what they do not find is not forgotten.
  func reconsider() {
    state.withLock { state in
      state.version += 1
      let version = state.version
      for lane in Array(state.promises.keys) { state.promises[lane]?.version = version }
    }
  }

  /// What was promised before it changed is forgotten: only full looks begun after that are worth anything.
  var epoch: Int { state.withLock(\.epoch) }

  /// Something to claim appeared here: the next look begins no later. False where nothing is known of the lane, so that only a
  /// full look finds it.
  func appeared(in lane: Int32, at availableAt: Int64) -> Bool {
    let since = ClaimPosition(before: availableAt)
    return state.withLock { state in
      guard state.keys[lane] != nil else { return false }
      state.version += 1
      state.promises[lane] = Promise(since: min(state.promises[lane]?.since ?? since, since), version: state.version)
      return true
    }
  }

  /// Lanes worth a look for a request.
  func promising(for request: ClaimRequest, withSuspects: Bool) -> [Look] {
    state.withLock { state in
      state.promises.compactMap { lane, promise in
        guard let key = state.keys[lane], request.takes(key.lane), withSuspects || !key.isSuspect else { return nil }
        return Look(lane: lane, key: key, since: promise.since, version: promise.version)
      }
    }
  }

  /// A look at these lanes, perhaps at others too, came as far as this in some. The rest had nothing if the look found less than
  /// it wanted; else it may not have come to them. What appeared meanwhile stays where it is.
  func looked(at looks: [Look], foundUpTo found: [Int32: ClaimPosition], restIsEmpty: Bool) {
    state.withLock { state in
      for look in looks where state.promises[look.lane]?.version == look.version {
        if let end = found[look.lane] {
          state.promises[look.lane] = Promise(since: end, version: look.version)
        } else if restIsEmpty {
          state.promises[look.lane] = nil
        }
      }
      let known = Set(looks.map(\.lane))
      for (lane, end) in found where !known.contains(lane) && state.promises[lane] == nil {
        state.promises[lane] = Promise(since: end, version: state.version)
      }
    }
  }
}
