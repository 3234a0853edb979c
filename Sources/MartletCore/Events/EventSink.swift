// Where events go: a broker, told of by the relay, which knows no more of it than this.

/// A place that takes events. The relay gives it one batch at a time, and repeats what was not delivered until it is. In a batch no two
/// events are of one task: the next is only told when the one before it was delivered, so that each history comes in its order. A sink
/// that takes a batch as a whole or not at all, in its order, says so and gets several of one task at once.
package protocol EventSink: Sendable {
  /// `kafka`, `rabbitmq`: its name in metrics, in `/health/ready` and in the store.
  var name: String { get }

  /// It takes a batch in its order, all of it or nothing.
  var isAtomic: Bool { get }

  /// Gives the events away and waits until the other side has them safely. One verdict an event, in order.
  ///
  /// Never throws and never blocks a thread of the cooperative pool. It answers within its own timeout, also when nobody answers it,
  /// and soon when it is cancelled.
  func deliver(_ events: [OutgoingEvent]) async -> [SinkVerdict]

  /// Ends its connections. No delivery is in flight, and none follows.
  func close() async
}

extension EventSink {
  package var isAtomic: Bool { false }
}

package enum SinkVerdict: Sendable, Hashable {
  /// The other side has it and says so.
  case delivered
  /// It may not have it: to be repeated. One line for the person on call: what was tried, where, and what came of it. Never a secret.
  case failed(String)
  /// It has answered that it will not take this very event, and takes others. To be repeated, later and later.
  case refused(String)
}
