// Keeps numbers that JSON cannot write out of bodies. Asked by every call that has a `Double` in it.

internal import MartletCore

enum FiniteNumbers {
  /// JSON has no infinity (RFC 8259, §6), and the writer's `null` would silently mean "not given" or "no limit".
  static func fault(_ numbers: KeyValuePairs<String, Double?>) -> MartletClientError? {
    numbers.first { $0.value.map { !$0.isFinite } ?? false }
      .map { .invalidRequest("\($0.key) is not a finite number") }
  }
}

extension NewTask.Backoff? {
  /// - Parameter others: what stands beside it.
  func fault(besides others: KeyValuePairs<String, Double?>) -> MartletClientError? {
    FiniteNumbers.fault(others)
      ?? FiniteNumbers.fault([
        "backoff.baseSeconds": self?.baseSeconds, "backoff.factor": self?.factor,
        "backoff.maxSeconds": self?.maxSeconds,
        "backoff.jitter": self?.jitter,
      ])
  }
}
