// What is told to those who wait: here first, then, by the bell, on other nodes; and what other nodes have told. Called by all
// operations after their commit.

internal import MartletCore
internal import Synchronization

/// Who listens on this node.
final class Ear: Sendable {
  private let hear = Mutex<(@Sendable (StoreHint) -> Void)?>(nil)

  func listen(_ hear: @escaping @Sendable (StoreHint) -> Void) {
    self.hear.withLock { $0 = hear }
  }

  func tell(_ hint: StoreHint) {
    hear.withLock(\.self)?(hint)
  }
}

extension PostgresStore {
  /// READY tasks appeared: here first, then on other nodes.
  func appeared(in lane: Int32, at availableAt: Int64) {
    if !book.appeared(in: lane, at: availableAt) { fullLooks.areAllDue() }
    bell.work(in: lane, at: availableAt)
  }

  /// READY tasks appeared of which no answer tells: because another one ended, or was there already.
  func wasReleased(in lane: Int32, at availableAt: Int64) {
    appeared(in: lane, at: availableAt)
    ear.tell(book.key(of: lane).map { .work([$0.lane]) } ?? .anyWorkHere)
  }

  /// The same for one that only waits for its time now.
  func isDue(in duration: Duration) {
    bell.due(in: duration)
    ear.tell(.due(duration))
  }

  /// A cascade has left something over.
  func isUnsettled() {
    bell.unsettled()
    ear.tell(.unsettled)
  }

  /// A task with a concurrency key has begun to wait for a slot, or has left one.
  func isUnadmitted() {
    bell.unadmitted()
    ear.tell(.unadmitted)
  }

  /// What is given out, and to how many, has changed.
  func settingsChanged() {
    book.reconsider()
    limits.reconsider()
    fullLooks.areAllDue()
    bell.settingsChanged()
    ear.tell(.settings)
    ear.tell(.anyWork)
  }

  /// Attempts may have ended of which no answer came.
  func mayHaveEnded() {
    limits.reconsider()
    isUnadmitted()
  }

  /// Attempts have ended: where the queue was found full there is room again.
  func ended(in lanes: Set<Int32>) {
    guard !limits.isEmpty else { return }
    for queue in Set(lanes.compactMap { book.key(of: $0)?.queue }) {
      let wanted = limits.ended(in: queue)
      let here = Set(wanted.here.compactMap { book.key(of: $0)?.lane })
      if !here.isEmpty { ear.tell(.work(here)) }
      for lane in wanted.elsewhere { bell.room(in: lane) }
    }
  }
}

/// What the words of other nodes mean here.
struct HintReader: Sendable {
  let book: LaneBook
  let fullLooks: FullLooks
  let limits: LimitedQueues
  let deepQueues: DeepQueues
  let bell: Bell

  func hints(of words: [News.Word]) -> [StoreHint] {
    var lanes: Set<Lane> = []
    var hints: [StoreHint] = []
    for word in words {
      switch word {
      case .work(let lane, let availableAt):
        if let key = book.key(of: lane), book.appeared(in: lane, at: availableAt) {
          lanes.insert(key.lane)
        } else {
          hints.append(.anyWork)
        }
      case .room(let lane):
        if let key = book.key(of: lane) {
          limits.reopen(key.queue)
          lanes.insert(key.lane)
        } else {
          hints.append(.anyWork)
        }
      case .full(let lane, let queue): if limits.isMissed(lane, of: queue) { bell.room(in: lane) }
      case .due(let duration): hints.append(.due(duration))
      case .cancelled(let id): hints.append(.cancelled(id))
      case .unsettled: hints.append(.unsettled)
      case .unadmitted: hints.append(.unadmitted)
      case .schedules: hints.append(.schedules)
      case .settings:
        changed()
        hints += [.settings, .anyWork]
      case .something:
        changed()
        hints += [.settings, .unadmitted, .schedules, .anyWork]
      }
    }
    if hints.contains(.anyWork) { fullLooks.areAllDue() }
    return hints + (lanes.isEmpty ? [] : [.workElsewhere(lanes)])
  }

  /// Anything may have been said meanwhile.
  func hintsAfterGap() -> [StoreHint] { hints(of: [.something]) }

  private func changed() {
    book.reconsider()
    limits.reconsider()
    deepQueues.forget()
  }
}
