// A shell beside each server that ends it and removes its files once the test program is gone, however it went: a socket, of which
// only the test program holds the other end, tells it.

internal import ChildProcess
internal import Foundation
internal import Synchronization

final class Undertaker: Sendable {
  private let shell: Child
  private let ourEnd: Mutex<Int32?>

  private static let script = """
    trap '' HUP INT TERM
    read -r _
    if read -r id 2>/dev/null <"$1/redis.pid"; then
      kill -KILL "$id"
      tries=100
      while [ "$tries" -gt 0 ] && kill -0 "$id"; do tries=$((tries - 1)); sleep 0.1; done
    fi
    rm -rf "$1"
    """

  init(of folder: URL) throws {
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)  // no other child may hold our end
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw RedisFailed(what: "no socket pair", log: "") }
    defer { close(ends[0]) }
    do {
      shell = try Child(["/bin/sh", "-c", Self.script, "sh", folder.path], input: ends[0])
    } catch {
      close(ends[1])
      throw error
    }
    ourEnd = Mutex(ends[1])
  }

  /// Lets it do its work, now.
  func dismiss() {
    ourEnd.withLock { end in
      if let descriptor = end { close(descriptor) }
      end = nil
    }
  }

  /// The same, and waits until it is done.
  func bury() async {
    dismiss()
    _ = await shell.ended()
  }
}
