// Whom a node tells what happens, by its settings.

internal import Logging
internal import MartletCore
internal import MartletEvents

extension Settings {
  /// None without the role `notifier`.
  func makeSinks(_ logger: Logger) throws -> [any EventSink] {
    guard server.roles.contains(.notifier) else { return [] }
    var sinks: [any EventSink] = []
    if let kafka = events.kafka.settings { sinks.append(KafkaSink(kafka, logger: logger)) }
    if let rabbitmq = try events.rabbitmq.settings() {
      // That something is wrong the relay tells, once, and that it is over.
      sinks.append(RabbitSink(rabbitmq) { logger.debug("\($0)", metadata: ["sink": "rabbitmq"]) })
    }
    return sinks
  }
}
