// What goes to the broker and what comes from it.

internal import MartletCore

/// One message to publish. Persistent, always.
struct RabbitMessage: Sendable {
  /// Empty for the default exchange, which gives it to the queue that is called like the routing key.
  var exchange: String
  var routingKey: String
  /// Whether it comes back where no queue takes it.
  var isMandatory: Bool
  var id: String
  var type: String
  var at: Timestamp
  var headers: [(name: String, value: String)]
  var body: [UInt8]

  /// Roughly, on the wire.
  var size: Int { body.count + 512 }

  /// For people: what it was meant for.
  var target: String { exchange.isEmpty ? "queue \(routingKey)" : "exchange \(exchange)" }
}

/// One message that the broker has handed out and waits to be told of.
package struct RabbitDelivery: Sendable {
  package let body: [UInt8]
  /// The event's id, where it is one of ours.
  package let messageID: String?
  package let type: String?
  /// Whether it was handed out before: then its work may have been done already.
  package let isRedelivered: Bool
  let tag: UInt64
  /// By which of its connections it came.
  var connection = 0

  init(body: [UInt8], messageID: String?, type: String?, isRedelivered: Bool, tag: UInt64) {
    self.body = body
    self.messageID = messageID
    self.type = type
    self.isRedelivered = isRedelivered
    self.tag = tag
  }
}

/// What the broker says when nobody has asked.
enum RabbitWord: Sendable {
  case answered(tag: UInt64, isMultiple: Bool, isConfirmed: Bool)
  case returned(messageID: String?, reason: String)
  case delivered(RabbitDelivery)
}

/// Why the broker cannot be used, in one line that says which broker. Never with a password.
package struct RabbitFailure: Error, Hashable, CustomStringConvertible {
  package let description: String

  init(_ description: String) {
    self.description = description
  }
}
