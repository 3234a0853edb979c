// One conversation with the server: libpq in non-blocking mode behind a poll loop of our own, so that every wait has an end
// and a large pipeline cannot block both sides. Used only on its owner's thread.

internal import CPostgres
internal import Foundation
internal import MartletCore

/// How an exchange over a session can end badly.
enum SessionFailure: Error {
  /// Nothing of it can have been committed: the connection turned out dead before the transaction's end was sent.
  case unsent(String)
  /// Whether it was committed is not known. The session is of no more use.
  case lost(String, isTimeout: Bool)
  /// The server's error. `isFit` says whether the session can go on.
  case refused(sqlState: String, message: String, isFit: Bool)
}

final class Session {
  let handle: OpaquePointer
  /// What the server knows under a name.
  struct Prepared: Hashable {
    let sql: String
    let types: [UInt32]
  }
  var prepared: [String: Prepared] = [:]
  /// Ends all waiting when there is something to read in it; −1 is none.
  private let interruption: Int32

  private init(handle: OpaquePointer, interruption: Int32) {
    self.handle = handle
    self.interruption = interruption
    // Without a receiver libpq writes notices to our standard error.
    PQsetNoticeReceiver(handle, { _, _ in }, nil)
  }

  deinit {
    PQfinish(handle)
  }

  /// - Throws: `.unusable` for what somebody has to mend (password, name, certificate), else `.unavailable`.
  static func connect(_ settings: ConnectionSettings, interruption: Int32 = -1) throws(StoreError) -> Session {
    let deadline = ContinuousClock.now + settings.limits.connect
    guard let handle = settings.startConnecting() else { throw .unavailable("out of memory") }
    let session = Session(handle: handle, interruption: interruption)
    // The only way to the SQLSTATE of a refused connection is libpq's message.
    PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)
    var step = PQstatus(handle) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING
    while step != PGRES_POLLING_OK {
      guard step != PGRES_POLLING_FAILED else { throw session.connectFailure() }
      guard session.wait(for: step == PGRES_POLLING_READING ? POLLIN : POLLOUT, until: deadline) else {
        throw .unavailable("the database did not answer in time")
      }
      step = PQconnectPoll(handle)
    }
    PQsetErrorVerbosity(handle, PQERRORS_DEFAULT)
    guard PQsetnonblocking(handle, 1) == 0, PQenterPipelineMode(handle) == 1 else {
      throw .unavailable(session.errorMessage)
    }
    return session
  }

  /// The server has something to say although nothing was asked: mostly that it goes away.
  var hasUnexpectedWords: Bool { wait(for: POLLIN, until: .now) }

  /// False when the time is over or the waiting is interrupted. A deadline that has passed only looks. Failed sockets count as
  /// ready: the next call says why.
  func wait(for events: Int32, until deadline: ContinuousClock.Instant) -> Bool {
    while true {
      var entries = [
        pollfd(fd: PQsocket(handle), events: Int16(events), revents: 0),
        pollfd(fd: interruption, events: Int16(POLLIN), revents: 0),
      ]
      let left = ContinuousClock.now.duration(to: deadline)
      let milliseconds = left > .zero ? left.wholeMilliseconds + 1 : 0
      let count = poll(&entries, 2, Int32(clamping: milliseconds))
      if count > 0 { return entries[1].revents == 0 }
      if count == 0 { return false }
      guard errno == EINTR else { return true }
    }
  }

  /// Sends what is waiting and reads until the next result can be had without blocking.
  func awaitResult(until deadline: ContinuousClock.Instant) throws(SessionFailure) {
    while true {
      let unsent = PQflush(handle)
      guard unsent >= 0 else { throw .lost(errorMessage, isTimeout: false) }
      guard PQisBusy(handle) == 1 else { return }
      guard wait(for: unsent > 0 ? POLLIN | POLLOUT : POLLIN, until: deadline) else {
        throw .lost("the database did not answer in time", isTimeout: true)
      }
      guard PQconsumeInput(handle) == 1 else { throw .lost(errorMessage, isTimeout: false) }
    }
  }

  var serverVersion: Int { Int(PQserverVersion(handle)) }

  /// What libpq says, without its indented advice.
  var errorMessage: String {
    let lines = String(cString: PQerrorMessage(handle)).split(whereSeparator: \.isNewline)
    return oneLine(lines.filter { !$0.hasPrefix("\t") }.joined(separator: "\n"))
  }
}
