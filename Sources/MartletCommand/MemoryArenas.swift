// How many pools the C library makes for what threads allocate.

internal import Foundation

enum MemoryArenas {
  /// One for each core, and no fewer than two. glibc would make eight for each (mallopt(3), M_ARENA_MAX), and whatever outlives a burst
  /// lies scattered over all of them: beside a database that comes and goes a server of ten megabytes in use holds more of them from
  /// hour to hour. What MALLOC_ARENA_MAX or GLIBC_TUNABLES say counts more. Before threads allocate: an arena that exists stays.
  static func limit() {
    let environment = ProcessInfo.processInfo.environment
    guard let mallopt, environment["MALLOC_ARENA_MAX"] == nil, environment["GLIBC_TUNABLES"] == nil else { return }
    _ = mallopt(arenaMax, CInt(clamping: max(2, ProcessInfo.processInfo.activeProcessorCount)))
  }

  private static let arenaMax: CInt = -8

  /// Not in the headers that Swift sees; nil with another C library.
  private static let mallopt: (@convention(c) (CInt, CInt) -> CInt)? =
    dlsym(nil, "mallopt").map { unsafeBitCast($0, to: (@convention(c) (CInt, CInt) -> CInt).self) }
}
