// Settings of queues and types for random histories: tight ones, so that they are met, and never for long.

import MartletCore

/// - Parameter below: a random number from 0, smaller than its argument.
func randomPatch(_ below: (Int) -> Int) -> QueuePatch {
  var patch = QueuePatch()
  func limit<Value>(_ value: (Int) -> Value) -> QueuePatch.Limit<Value> {
    switch below(4) {
    case 0, 1: .keep
    case 2: .none
    default: .value(value(below(3)))
    }
  }
  patch.isPaused = [nil, false, false, true][below(4)]
  patch.concurrency = limit { 1 + $0 }
  patch.concurrencyPerKey = limit { 1 + $0 }
  patch.ratePerSecond = limit { [0.05, 0.3, 2][$0] }
  patch.burst = limit { 1 + 2 * $0 }
  patch.maxDepth = limit { [3, 6, 30][$0] }
  return patch
}

func randomTypeSettings(_ below: (Int) -> Int) -> TypeSettings {
  var settings = TypeSettings()
  settings.isPaused = below(3) == 0
  if below(2) == 0 { settings.defaults.retries = below(5) }
  return settings
}
