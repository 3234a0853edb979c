// When to look at every lane from its beginning: once a second for each kind of request, or somewhat more rarely where that has
// become dear.

internal import MartletCore
internal import Synchronization

final class FullLooks: Sendable {
  private let due = Mutex<[Key: ContinuousClock.Instant]>([:])

  private struct Key: Hashable {
    var types: [String]
    var queues: [String]

    init(_ request: ClaimRequest) {
      types = request.types
      queues = request.queues
    }
  }

  private static let interval = Duration.seconds(1)
  /// What came late waits no longer than this, however dear it is to find.
  private static let longest = Duration.seconds(5)
  /// Kinds of requests remembered; more are forgotten all at once, and looked for anew.
  private static let most = 1000

  func isDue(for request: ClaimRequest) -> Bool {
    let now = ContinuousClock.now
    return due.withLock { ($0[Key(request)] ?? now) <= now }
  }

  func done(for request: ClaimRequest, took: Duration) {
    let next = ContinuousClock.now + min(max(Self.interval, took * 20), Self.longest)
    due.withLock { due in
      if due.count >= Self.most { due = [:] }
      due[Key(request)] = next
    }
  }

  /// Work appeared nobody knows where.
  func areAllDue() {
    due.withLock { $0 = [:] }
  }
}
