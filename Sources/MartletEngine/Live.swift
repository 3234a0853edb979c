// A value that is replaced as a whole while others read it: what of the settings can change without a restart.

internal import Synchronization

/// Whoever reads it gets one version or the next, never a mixture. Who needs several parts of it for one thing reads it once.
package final class Live<Value: Sendable>: Sendable {
  private let value: Mutex<Value>

  package init(_ value: Value) {
    self.value = Mutex(value)
  }

  package var current: Value { value.withLock(\.self) }

  package func replace(with new: Value) {
    value.withLock { $0 = new }
  }
}
