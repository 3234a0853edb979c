// The names of all that an installation keeps in Redis. They share one hash tag, so that Redis Cluster keeps them together and a
// script may touch them all.

internal import MartletCore

package struct RedisKeys: Sendable, Hashable {
  package let prefix: String

  /// - Parameter installation: not empty; nodes of the same one share everything.
  package init(installation: String) {
    prefix = "martlet:{\(installation)}:"
  }

  /// Ids that wait for their time, by it.
  var due: String { prefix + "due" }
  /// Ids that were given out and not confirmed, by the end of their lock.
  var taken: String { prefix + "taken" }
  /// For each id of any of the sets its score and its lane, by which it finds its way back.
  var tasks: String { prefix + "tasks" }
  /// Those lanes in which an id waits to be taken.
  var lanes: String { prefix + "lanes" }
  /// With a lane behind it: the ids that wait to be taken there.
  var ready: String { prefix + "ready:" }

  /// While it is there, some node has gone through all READY tasks lately.
  var sweep: String { prefix + "sweep" }

  func rate(_ key: String) -> String { prefix + "rate:" + key }
  func idempotency(_ key: String) -> String { prefix + "key:" + key }
  /// A channel for `RedisBell`.
  var bell: String { prefix + "bell" }
}
