// FAIL_SOMETIMES: fails at random, to watch retries, backoff and dead letters at work. With a seed it fails in the same attempts
// every time.

internal import MartletCore
internal import MartletEngine

struct FailSometimes: TaskHandler {
  struct Payload: Codable, Sendable {
    /// 0 never fails, 1 always; 0.5 unless told otherwise.
    var probability: Double?
    var seed: Int64?
  }

  struct Passed: Codable, Sendable {
    var attempt: Int
    var probability: Double
  }

  static let type = "FAIL_SOMETIMES"

  let random: RandomSource

  func problems(in payload: Payload) -> [ValidationProblem] {
    var problems = Problems()
    problems.check(payload.probability, in: 0...1, at: "/probability")
    return problems.all
  }

  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
    let probability = payload.probability ?? 0.5
    guard draw(payload.seed, attempt: context.attempt) >= probability else {
      throw TaskFailure.retry(
        "failed on purpose, with a probability of \(probability)", type: "SIMULATED_FAILURE")
    }
    return try .success(Passed(attempt: context.attempt, probability: probability))
  }

  /// Uniform in 0..<1.
  private func draw(_ seed: Int64?, attempt: Int) -> Double {
    guard let seed else { return random.fraction() }
    var attempts = SplitMix64(state: UInt64(bitPattern: Int64(attempt)))
    return RandomSource(seed: UInt64(bitPattern: seed) ^ attempts.next()).fraction()
  }
}
