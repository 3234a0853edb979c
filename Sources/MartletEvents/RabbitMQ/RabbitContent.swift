// Puts together the frames that follow a `basic.return` or `basic.deliver`: one with the properties, then the body in pieces. For
// `RabbitLink`.

internal import CRabbitMQ

struct RabbitContent {
  enum Kind {
    case returned(reason: String)
    case delivered(tag: UInt64, isRedelivered: Bool)
  }

  private let kind: Kind
  private var messageID: String?
  private var type: String?
  private var body: [UInt8] = []
  /// Nil until the properties are there.
  private var missing: UInt64?

  init(_ kind: Kind) {
    self.kind = kind
  }

  mutating func begin(_ properties: amqp_basic_properties_t?, _ size: UInt64) {
    if let properties {
      if properties._flags & RABBIT_MESSAGE_ID != 0 {
        messageID = String(decoding: properties.message_id.array, as: UTF8.self)
      }
      if properties._flags & RABBIT_TYPE != 0 { type = String(decoding: properties.type.array, as: UTF8.self) }
    }
    missing = size
  }

  mutating func add(_ piece: [UInt8]) {
    body += piece
    missing = missing.map { $0 - min($0, UInt64(piece.count)) }
  }

  /// Once all is there.
  var word: RabbitWord? {
    guard missing == 0 else { return nil }
    switch kind {
    case .returned(let reason): return .returned(messageID: messageID, reason: reason)
    case .delivered(let tag, let isRedelivered):
      return .delivered(
        RabbitDelivery(body: body, messageID: messageID, type: type, isRedelivered: isRedelivered, tag: tag))
    }
  }
}
