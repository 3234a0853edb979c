// How it stands with Redis, for `/health/ready`. Written by `Link`, read from anywhere.

internal import Synchronization

package struct RedisStatus: Sendable, Hashable {
  package let isUp: Bool
  /// Why it is not, if that is known, in one line; nil while it is.
  package let lastError: String?
}

final class StatusBox: Sendable {
  private let status = Mutex(RedisStatus(isUp: false, lastError: nil))

  var current: RedisStatus { status.withLock(\.self) }

  func set(_ status: RedisStatus) {
    self.status.withLock { $0 = status }
  }
}
