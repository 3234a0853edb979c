// How long to wait for what, and how much may be under way. Tests wait less.

struct RabbitLimits: Sendable {
  /// For a connection to be made, and for each answer until it is ready.
  var connect = Duration.seconds(5)
  /// For all of a batch to be confirmed, connecting included.
  var answer = Duration.seconds(10)
  /// A broker that says nothing for twice as long is lost.
  var heartbeat = Duration.seconds(10)
  /// Bytes that may be under way unconfirmed. Few enough that a broker that stops reading is noticed before the system's own
  /// buffers are full and a send hangs.
  var window = 256 << 10
  /// Between two tries to connect: the first pause, doubled each time up to the last.
  var firstPause = Duration.milliseconds(200)
  var lastPause = Duration.seconds(5)
  /// How often the connection is looked after while nobody uses it.
  var tick = Duration.milliseconds(500)

  /// How long the thread waits at most before it looks whether it is still wanted.
  static let moment = Duration.milliseconds(50)
}
