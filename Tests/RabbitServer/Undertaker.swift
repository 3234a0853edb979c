// A shell beside each broker that ends it, and its epmd, and removes their files once the test program is gone, however it went: a
// socket, of which only the test program holds the other end, tells it.

internal import ChildProcess
internal import Foundation
internal import Synchronization

final class Undertaker: Sendable {
  private let shell: Child
  private let ourEnd: Mutex<Int32?>

  /// A number is believed only as long as the process still has something to do with the folder: its files may outlive it.
  private static let script = """
    trap '' HUP INT TERM
    read -r _
    folder=$1; shift
    for file in "$@"; do
      if read -r id 2>/dev/null <"$file" && [ "$(readlink "/proc/$id/cwd")" = "$folder" ]; then
        kill -KILL "$id"
        tries=100
        while [ "$tries" -gt 0 ] && kill -0 "$id"; do tries=$((tries - 1)); sleep 0.1; done
      fi
    done
    rm -rf "$folder"
    """

  init(of processFiles: [URL], removing folder: URL) throws {
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)  // no other child may hold our end
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw RabbitFailed(what: "no socket pair", log: "") }
    defer { close(ends[0]) }
    let nowhere = URL(fileURLWithPath: "/dev/null")
    do {
      shell = try Child(
        ["/bin/sh", "-c", Self.script, "sh", folder.path] + processFiles.map(\.path),
        input: ends[0], output: nowhere, errors: nowhere)
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
