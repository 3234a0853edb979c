// Core's rule of what an ended task means for those that wait for it, as an expression of SQL: many edges are judged inside one
// statement.

internal import MartletCore

extension DependencyPolicy {
  /// `DependencyPolicy.effect` of two columns: 0 open, 1 met, 2 fails. A NULL policy is HOLD, a NULL status open.
  static func effectSQL(policy: String, of status: String) -> String {
    let cases = allCases.map { policy in
      let effects = [(DependencyEffect.met, 1), (.fails, 2)].compactMap { effect, code in
        let statuses = TaskStatus.allCases.filter { policy.effect(of: $0) == effect }.map { String($0.code) }
        return statuses.isEmpty ? nil : "WHEN \(status) IN (\(statuses.joined(separator: ", "))) THEN \(code)"
      }
      return "WHEN \(policy.code) THEN CASE \(effects.joined(separator: " ")) ELSE 0 END"
    }
    return "CASE coalesce(\(policy), \(hold.code)) \(cases.joined(separator: " ")) ELSE 0 END"
  }
}
