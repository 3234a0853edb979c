// What remote workers say in the lease protocol, once its text has been read: `MartletHTTP` makes these, `LeaseService` carries
// them out.

package import MartletCore

/// Asks for work.
package struct LeaseRequest: Sendable, Hashable {
  /// The worker's own name, unique among living workers.
  package var worker: String
  /// From where it asks, for people.
  package var host: String
  /// Nil and `["*"]` stand for every queue, as for the workers inside a node.
  package var queues: [String]?
  package var types: [String]
  package var limit = 1
  /// How many of `limit` would have to wait in the worker before they are begun.
  package var ahead = 0
  /// How long it waits while there is nothing.
  package var patience = Duration.zero

  package init(worker: String, host: String, queues: [String]? = nil, types: [String]) {
    self.worker = worker
    self.host = host
    self.queues = queues
    self.types = types
  }

  /// Tasks that one call can get, and entries that one call can bring.
  package static let mostLeases = 1000
  package static let longestPatience = Duration.seconds(60)
  /// Names in `queues` and in `types`.
  private static let mostNames = 100
  /// A claim looks at each queue with each type.
  private static let mostLanes = 1000

  /// What is wrong with it; the pointers are into the body of `POST /leases`.
  package var problems: [ValidationProblem] {
    var problems = Problems()
    problems.checkText(worker, lengths: 1...256, at: "/worker")
    if Actor.isReserved(worker) {
      problems.add("/worker", "is a name that events and audit have for the server itself or for a credential")
    }
    checkNames(types, at: "/types", &problems)
    if let queues, queues != [ClaimRequest.allQueues] { checkNames(queues, at: "/queues", &problems) }
    if problems.all.isEmpty, types.count * (queues?.count ?? 1) > Self.mostLanes {
      problems.add("/types", "together with queues make more than \(Self.mostLanes) pairs")
    }
    problems.check(limit, in: 1...Self.mostLeases, at: "/limit")
    problems.check(ahead, in: 0...max(0, min(limit, Self.mostLeases)), at: "/ahead")
    if !(.zero...Self.longestPatience).contains(patience) {
      problems.add("/waitSeconds", "must be from 0 to \(Self.longestPatience.components.seconds)")
    }
    return problems.all
  }

  private func checkNames(_ names: [String], at pointer: String, _ problems: inout Problems) {
    if names.isEmpty { problems.add(pointer, "must not be empty") }
    if names.count > Self.mostNames {
      problems.add(pointer, "has \(names.count) entries; at most \(Self.mostNames) are taken")
    }
    for (index, name) in names.prefix(Self.mostNames).enumerated() {
      problems.checkName(name, at: "\(pointer)/\(index)")
    }
  }
}

/// What it gets.
package struct LeaseGrant: Sendable {
  package var tasks: [ClaimedTask]
  /// How long the request was held before these were claimed: leases begin no earlier than that after it was sent.
  package var held: Duration
  package var claimedAt: MonotonicTime
  package var clock: any EngineClock
  /// How much of the leases is over already.
  package var age: Duration { max(.zero, clock.now - claimedAt) }
}

/// One entry of `POST /leases/renew`.
package struct LeaseRenewal: Sendable, Hashable {
  package var lease: LeaseID
  package var progress: Progress?
  /// New since the last renewal.
  package var logs: [String]

  package init(lease: LeaseID, progress: Progress? = nil, logs: [String] = []) {
    self.lease = lease
    self.progress = progress
    self.logs = logs
  }
}

/// One entry of `POST /leases/finish`.
package struct LeaseReport: Sendable, Hashable {
  package var lease: LeaseID
  package var outcome: Outcome
  package var logs: [String]

  package init(lease: LeaseID, outcome: Outcome, logs: [String] = []) {
    self.lease = lease
    self.outcome = outcome
    self.logs = logs
  }
}
