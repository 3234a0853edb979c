// Keeps a second server from the same file. The kernel releases the lock when the process ends, however it ends; commands
// that open the database beside a running server do not ask for it.

internal import Foundation
internal import MartletCore
internal import Synchronization

/// An exclusive `flock(2)` on `<database>.lock`, which holds the process id of its owner for people to read.
final class ServerLock: Sendable {
  private let descriptor: Int32
  private let isReleased = Mutex(false)

  init(databasePath: String) throws(StoreError) {
    let path = databasePath + ".lock"
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw .unusable("cannot create \(path): \(String(cString: strerror(errno)))")
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let owner = (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
      close(descriptor)
      let by = owner.flatMap { $0.isEmpty ? nil : " (process \($0))" } ?? ""
      throw .unusable("\(databasePath) is already served by another martlet\(by)")
    }
    ftruncate(descriptor, 0)
    let owner = Array("\(ProcessInfo.processInfo.processIdentifier)\n".utf8)
    _ = owner.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
  }

  /// Unlocks before it closes: a child that another thread is about to start has a copy of the descriptor until its `exec`,
  /// and the lock belongs to all copies (flock(2)).
  func release() {
    isReleased.withLock { released in
      if !released {
        flock(descriptor, LOCK_UN)
        close(descriptor)
      }
      released = true
    }
  }

  deinit {
    release()
  }
}
