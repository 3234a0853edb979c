// The refusals of the gates.

internal import HTTPTypes
internal import MartletCore

extension Problem {
  /// 401 with the challenge (RFC 9110 §11.6.1, RFC 6750 §3).
  static func unauthenticated(_ detail: String, isInvalidToken: Bool = false) -> Problem {
    let challenge = #"Bearer realm="martlet""# + (isInvalidToken ? #", error="invalid_token""# : "")
    return Problem(.unauthenticated, detail).adding([(.wwwAuthenticate, challenge)])
  }

  static func forbidden(_ detail: String) -> Problem {
    Problem(.forbidden, detail)
  }

  /// The queues are not named: they may be any text.
  static func forbiddenQueues(at places: [String]) -> Problem {
    Problem(
      .forbidden, "the credential is bound to other queues",
      errors: places.map { ValidationProblem(pointer: $0, detail: "is not one of the credential's queues") })
  }

  static func rateLimited(_ detail: String, _ level: TokenBucket.Level) -> Problem {
    Problem(.rateLimited, detail).adding([(.retryAfter, String(RateLimitFields.retryAfter(level)))])
  }

  func adding(_ fields: [(name: HTTPField.Name, value: String)]) -> Problem {
    var problem = self
    problem.fields += fields
    return problem
  }
}
