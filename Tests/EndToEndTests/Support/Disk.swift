// An ext4 file system in an image, on which a power cut can be played: the kernel is told to forget at once all that
// it has not yet been asked to bring to the disk, as if the machine had stopped there and then.

internal import Foundation

struct Disk: Sendable {
  let image: URL
  let point: URL

  /// EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH of `linux/ext4.h`.
  private static let shutdown: UInt = 0x8004_587D
  private static let withoutFlushing: UInt32 = 2

  /// From here on every write fails, and what no fsync has confirmed is gone once it is mounted again.
  func cutPower() throws {
    let descriptor = open(point.path, O_RDONLY)
    guard descriptor >= 0 else { throw NotCut(reason: String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var flags = Self.withoutFlushing
    guard ioctl(descriptor, Self.shutdown, &flags) == 0 else { throw NotCut(reason: String(cString: strerror(errno))) }
  }

  struct NotCut: Error {
    let reason: String
  }
}
