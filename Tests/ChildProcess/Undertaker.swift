// A shell beside each server that the tests start: it ends the server and removes its files once the test program is gone, however it
// went. A socket, of which only the test program holds the other end, tells it.

public import Foundation
internal import Synchronization

public final class Undertaker: Sendable {
  private let shell: Child
  private let ourEnd: Mutex<Int32?>

  private static let vigil = """
    trap '' HUP INT TERM
    read -r _

    """

  /// - Parameters:
  ///   - script: what `/bin/sh` has to do when the time has come.
  ///   - files: its arguments.
  public init(_ script: String, _ files: [URL]) throws {
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)  // no other child may hold our end
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw ChildFailed(description: "no socket pair") }
    defer { close(ends[0]) }
    do {
      shell = try Child(["/bin/sh", "-c", Self.vigil + script, "sh"] + files.map(\.path), input: ends[0])
    } catch {
      close(ends[1])
      throw error
    }
    ourEnd = Mutex(ends[1])
  }

  /// Lets it do its work, now.
  public func dismiss() {
    ourEnd.withLock { end in
      if let descriptor = end { close(descriptor) }
      end = nil
    }
  }

  /// The same, and waits until it is done.
  public func bury() async {
    dismiss()
    _ = await shell.ended()
  }
}
