// Hears what other nodes say by NOTIFY, on a connection and a thread of its own. What is missed costs only time: the database's
// tables are the truth, and after each gap whoever listens is told to look there.

internal import CPostgres
internal import Foundation
internal import MartletCore
internal import Synchronization

final class Listener: Sendable {
  private struct State {
    var isStarted = false
    var isClosed = false
    var isOver = false
    var closers: [CheckedContinuation<Void, Never>] = []
  }

  private let settings: ConnectionSettings
  private let channel: String
  private let report: @Sendable (String) -> Void
  private let hear: @Sendable (String) -> Void
  private let onGap: @Sendable () -> Void
  private let wake = WakePipe()
  private let state = Mutex(State())

  /// - Parameters:
  ///   - report: told in one line that nothing can be heard, and that it can again.
  ///   - hear: each notification's payload; called on the listener's thread.
  ///   - onGap: listening began, or began again, later than it should have.
  init(
    _ settings: ConnectionSettings, channel: String, report: @escaping @Sendable (String) -> Void,
    hear: @escaping @Sendable (String) -> Void, onGap: @escaping @Sendable () -> Void
  ) {
    self.settings = settings
    self.channel = channel
    self.report = report
    self.hear = hear
    self.onGap = onGap
  }

  /// Behind PgBouncer there is nothing to hear, and this does nothing.
  func start() {
    let mustStart = state.withLock { state in
      guard !settings.isPooled, !state.isStarted, !state.isClosed else { return false }
      state.isStarted = true
      return true
    }
    guard mustStart else { return }
    let thread = Thread { [self] in
      listenOnAndOn()
      let closers = state.withLock { state in
        state.isOver = true
        return state.closers
      }
      for closer in closers { closer.resume() }
    }
    thread.name = "martlet-listen"
    thread.start()
  }

  /// Nothing is heard after it.
  func close() async {
    await withCheckedContinuation { closer in
      let isOver = state.withLock { state in
        state.isClosed = true
        if state.isStarted, !state.isOver { state.closers.append(closer) }
        return !state.isStarted || state.isOver
      }
      wake.ring()
      if isOver { closer.resume() }
    }
  }

  private var isClosed: Bool { state.withLock { $0.isClosed } }

  private func listenOnAndOn() {
    var hasGap = false
    var isReported = false
    var pause = Duration.zero
    while !isClosed {
      do throws(StoreError) {
        let session = try listen()
        if hasGap { onGap() }
        if isReported { report("hears other nodes again") }
        (isReported, pause) = (false, .zero)
        hearOut(session)
        hasGap = true
      } catch {
        hasGap = true
        if !isReported, !isClosed {
          isReported = true
          report("cannot hear other nodes and looks for work from time to time instead: \(error.message)")
        }
        pause = pause == .zero ? .milliseconds(50) : min(pause * 2, .seconds(2))
        wake.wait(pause * (0.5 + RandomSource.system.fraction() / 2))
      }
    }
  }

  private func listen() throws(StoreError) -> Session {
    let session = try Session.connect(settings, interruption: wake.descriptor)
    let queries = ["SELECT \(ConnectionSettings.noticeVanished)", "LISTEN \"\(channel)\""].map {
      Query(Statement("listen", $0))
    }
    do throws(SessionFailure) {
      _ = try session.pipeline(queries, isNamed: false, until: .now + settings.limits.connect)
    } catch {
      switch error {
      case .refused(let sqlState, let message, _): throw StoreError(sqlState: sqlState, message: message)
      case .unsent(let reason), .lost(let reason, _): throw .unavailable(reason)
      }
    }
    return session
  }

  /// Returns when the connection has broken, or at the end.
  private func hearOut(_ session: Session) {
    repeat {
      while let notification = PQnotifies(session.handle) {
        if !isClosed { hear(String(cString: notification.pointee.extra)) }
        PQfreemem(notification)
      }
      while !session.wait(for: POLLIN, until: .now + .seconds(3600)) {
        if isClosed { return }
      }
    } while PQconsumeInput(session.handle) == 1
  }
}

/// Something that a thread in `poll` can wait for and another can ring.
private final class WakePipe: Sendable {
  let descriptor: Int32
  private let other: Int32

  init() {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { preconditionFailure("no more files can be opened") }
    (descriptor, other) = (ends[0], ends[1])
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
  }

  deinit {
    _ = Foundation.close(descriptor)
    _ = Foundation.close(other)
  }

  /// For good: it is never reset.
  func ring() {
    _ = write(other, [1], 1)
  }

  func wait(_ duration: Duration) {
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    _ = poll(&entry, 1, Int32(clamping: duration.wholeMilliseconds))
  }
}
