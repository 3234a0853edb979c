// Waiting for what happens in other processes: a condition is asked until it holds. How long that takes is never
// asserted; the limit only ends a test that would hang.

internal import Foundation

/// - Parameter probe: answers nil, or throws what the test cannot survive, until it is so.
func eventually<Value>(
  _ what: String, within limit: Duration = .seconds(300), _ probe: () async throws -> Value?
) async throws -> Value {
  let deadline = ContinuousClock.now + limit
  var pause = Duration.milliseconds(5)
  while true {
    if let value = try await probe() { return value }
    guard ContinuousClock.now < deadline else { throw NeverCame(what: what) }
    try await Task.sleep(for: pause)
    pause = min(pause * 2, .milliseconds(100))
  }
}

func eventually(
  _ what: String, within limit: Duration = .seconds(300), that probe: () async throws -> Bool
) async throws {
  _ = try await eventually(what, within: limit) { try await probe() ? true : nil }
}

struct NeverCame: Error, CustomStringConvertible {
  let what: String
  var description: String { "waited in vain for this: \(what)" }
}
