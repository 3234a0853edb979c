// librdkafka's own log lines, passed on: while brokers are away it writes several a second.

internal import Logging

struct KafkaLog {
  private let logger: Logger
  private var gates: [String: (opensAt: ContinuousClock.Instant, held: Int)] = [:]
  private static let pause = Duration.seconds(30)

  init(_ logger: Logger) {
    self.logger = logger
  }

  /// - Parameters:
  ///   - level: as in syslog.
  ///   - facility: librdkafka's word for what it is about; of each one line is let through at a time.
  mutating func write(level: Int32, facility: String, text: String, now: ContinuousClock.Instant = .now) {
    // Only where the operator has asked for it (the property `debug`), and then he wants all of it.
    guard level < 7 else { return logger.debug("Kafka: \(text)", metadata: ["facility": "\(facility)"]) }
    if let gate = gates[facility], now < gate.opensAt {
      gates[facility]?.held += 1
      return
    }
    let held = gates[facility]?.held ?? 0
    gates[facility] = (now + Self.pause, 0)
    let more = held == 0 ? "" : " (and \(held) more such lines)"
    // A property of the producer that the consumer has no use for is no reason to warn.
    let isWarning = level <= 4 && facility != "CONFWARN"
    logger.log(level: isWarning ? .warning : .info, "Kafka: \(text)\(more)", metadata: ["facility": "\(facility)"])
  }
}
