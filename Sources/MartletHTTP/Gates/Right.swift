// What a route asks of its callers, and which role has it: the one table of rights. Each line of `RouteTable` names its
// right; `Gate` compares, and the API's document tells it.

internal import MartletCore

enum Right: CaseIterable, Sendable {
  /// Nothing is asked, and credentials are not looked at.
  case open
  /// As `read`, but open with `telemetry.metricsOpen`.
  case metrics
  case read
  /// New tasks, alone or in batches.
  case submit
  /// One task by its id.
  case cancelSingle
  /// Patch, retry, replay, everything in bulk; settings of queues and types, schedules, notices.
  case operate
  /// The worker protocol.
  case lease
  /// Keys, settings, audit.
  case administer

  /// It is about all queues at once: a credential that is bound to some has it not, whatever its roles.
  var isOfInstallation: Bool { self == .metrics || self == .administer }
}

extension Role {
  static let rights: [Role: Set<Right>] = [
    .viewer: [.metrics, .read],
    .producer: [.metrics, .read, .submit, .cancelSingle],
    .worker: [.lease],
    .operator: [.metrics, .read, .cancelSingle, .operate],
    .admin: Set(Right.allCases),
  ]
}

extension Credential {
  func has(_ right: Right) -> Bool {
    right == .open || roles.contains { Role.rights[$0]?.contains(right) == true }
  }
}
