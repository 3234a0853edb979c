// Keeps the certificate that new connections are shown: looks at its files again and again, so that one can be renewed
// without a restart. What cannot be used leaves the old one in force. Made and run by `HTTPServer`, asked by `HTTPChannel`.

internal import Logging
internal import MartletCore
internal import MartletEngine
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

final class TLSKeeper: Sendable {
  static let interval = Duration.seconds(5)
  private static let warningTime = 14 * 86_400

  private let files: TLSFiles
  private let clock: any EngineClock
  private let wallClock: @Sendable () -> Timestamp
  private let logger: Logger
  private let state = Mutex(State())

  private struct State {
    var identity: TLSIdentity?
    var contents: TLSFiles.Contents?
    /// What could not be used, and whether that was told: two files are seldom replaced in one moment.
    var failing: (contents: TLSFiles.Contents?, fault: TLSFault, isTold: Bool)?
  }

  init(
    _ files: TLSFiles, clock: any EngineClock, wallClock: @escaping @Sendable () -> Timestamp, logger: Logger
  ) {
    self.files = files
    self.clock = clock
    self.wallClock = wallClock
    self.logger = logger
  }

  /// Nil before `prepare`.
  var context: NIOSSLContext? { state.withLock { $0.identity?.context } }

  /// Before the first connection.
  func prepare() throws(TLSFault) {
    let contents = try TLSFiles.Contents(of: files)
    install(try TLSIdentity(contents), contents)
  }

  /// Until its task is cancelled.
  func run() async {
    while true {
      do { try await clock.sleep(for: Self.interval) } catch { return }
      // Nil: the process ends, and so does this.
      try? await NIOThreadPool.singleton.runIfActive { self.look() }
    }
  }

  /// Takes over what has changed since the last time, if it can be used.
  func look() {
    var contents: TLSFiles.Contents?
    do throws(TLSFault) {
      let found = try TLSFiles.Contents(of: files)
      contents = found
      guard state.withLock({ $0.contents != found }) else { return worksAgain() }
      install(try TLSIdentity(found), found)
      logger.info("the certificate was replaced", metadata: ["from": "\(files.certificate)"])
    } catch {
      failed(contents, error)
    }
  }

  private func install(_ identity: TLSIdentity, _ contents: TLSFiles.Contents) {
    state.withLock { state in
      state.identity = identity
      state.contents = contents
      state.failing = nil
    }
    let left = identity.expiresAt - Int(wallClock().milliseconds / 1000)
    guard left < Self.warningTime else { return }
    logger.warning(
      left > 0 ? "the certificate ends in \(left / 86_400) days" : "the certificate has come to its end",
      metadata: ["from": "\(files.certificate)"])
  }

  private func worksAgain() {
    let wasTold = state.withLock { state in
      defer { state.failing = nil }
      return state.failing?.isTold == true
    }
    if wasTold { logger.info("the certificate's files are as they were", metadata: ["from": "\(files.certificate)"]) }
  }

  /// Told once for each state of the files, and only if it lasts.
  private func failed(_ contents: TLSFiles.Contents?, _ fault: TLSFault) {
    let isToBeTold = state.withLock { state in
      guard let last = state.failing, last.contents == contents, last.fault == fault else {
        state.failing = (contents, fault, false)
        return false
      }
      defer { state.failing?.isTold = true }
      return !last.isTold
    }
    if isToBeTold { logger.warning("the new certificate cannot be used, the old one stays in force: \(fault)") }
  }
}
