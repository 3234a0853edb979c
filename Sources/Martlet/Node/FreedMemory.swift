// What a burst has taken and nobody uses any more goes back to the system. glibc keeps freed memory in an arena for each of many
// threads, and gives back only what lies at an arena's end: after some bursts (a database that was away, say) a process of ten
// megabytes in use holds thirty. malloc_trim(3) gives back the whole pages between, too, in a few milliseconds.

internal import Foundation

enum FreedMemory {
  /// Once a minute, until it is cancelled. With another C library than glibc nothing has to be done.
  static func giveBackNowAndThen() async {
    guard trim != nil else { return }
    while (try? await Task.sleep(for: .seconds(60))) != nil {
      await withCheckedContinuation { done in
        DispatchQueue.global(qos: .utility).async {
          giveBack()
          done.resume()
        }
      }
    }
  }

  static func giveBack() {
    _ = trim?(0)
  }

  /// Not in the headers that Swift sees.
  private static let trim: (@convention(c) (Int) -> CInt)? =
    dlsym(nil, "malloc_trim").map { unsafeBitCast($0, to: (@convention(c) (Int) -> CInt).self) }
}
