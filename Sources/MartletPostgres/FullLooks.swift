// When to look at every lane from its beginning: once a second for each kind of request, or somewhat more rarely where that has
// become dear.

internal import MartletCore
internal import Synchronization

final class FullLooks: Sendable {
  private let state = Mutex(State())

  private struct State {
    var last: [Key: Look] = [:]
    /// Changes whenever all become due.
    var version = 0
  }

  private struct Look {
    var next: ContinuousClock.Instant
    var epoch: Int
  }

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

  /// Nil while it is not due; else what `done` has to be told.
  /// - Parameter epoch: the book's. A look of an earlier one has found nothing that the book still knows.
  func due(for request: ClaimRequest, epoch: Int) -> Int? {
    let now = ContinuousClock.now
    return state.withLock { state in
      guard let last = state.last[Key(request)], last.epoch == epoch, last.next > now else { return state.version }
      return nil
    }
  }

  /// A look that began under this version was carried out. If all have become due meanwhile, it was not the one that is due.
  func done(_ version: Int, for request: ClaimRequest, epoch: Int, took: Duration) {
    let next = ContinuousClock.now + min(max(Self.interval, took * 20), Self.longest)
    state.withLock { state in
      guard state.version == version else { return }
      if state.last.count >= Self.most { state.last = [:] }
      state.last[Key(request)] = Look(next: next, epoch: epoch)
    }
  }

  /// Work appeared nobody knows where.
  func areAllDue() {
    state.withLock { $0 = State(last: [:], version: $0.version + 1) }
  }
}
