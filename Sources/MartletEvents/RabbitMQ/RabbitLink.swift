// One connection of librabbitmq's with one channel on it, as calls that block and throw. Only `RabbitConnection` holds one, on its
// thread; after a failure it is of no more use.

internal import CRabbitMQ
internal import MartletCore

final class RabbitLink {
  static let channel: amqp_channel_t = 1

  let settings: RabbitSettings
  let connection: amqp_connection_state_t
  let arena = RabbitArena()
  /// Why the broker takes no messages for now, while it says so.
  private(set) var blocked: String?
  private var content: RabbitContent?
  private var published: UInt64 = 0

  /// For whom `open` has connected.
  init(_ settings: RabbitSettings, _ connection: amqp_connection_state_t) {
    self.settings = settings
    self.connection = connection
  }

  deinit {
    amqp_destroy_connection(connection)
  }

  var descriptor: Int32 { amqp_get_sockfd(connection) }

  /// Says good-bye and waits a moment for the answer: what was sent before has been dealt with then. Where none comes, no more is
  /// lost than by hanging up.
  func close(within limit: Duration) {
    // Whoever is blocked is not read.
    guard blocked == nil else { return }
    var timeout = timeval(limit)
    amqp_set_rpc_timeout(connection, &timeout)
    _ = amqp_connection_close(connection, AMQP_REPLY_SUCCESS)
  }

  // MARK: - Publishing

  /// - Returns: the number by which the broker will confirm it: one more than the last.
  func publish(_ message: RabbitMessage) throws(RabbitFailure) -> UInt64 {
    arena.reset()
    var properties = amqp_basic_properties_t()
    properties._flags =
      RABBIT_CONTENT_TYPE | RABBIT_HEADERS | RABBIT_DELIVERY_MODE | RABBIT_MESSAGE_ID | RABBIT_TIMESTAMP | RABBIT_TYPE
    properties.content_type = arena.text(OutgoingEvent.contentType)
    properties.headers = arena.table(message.headers.map { ($0.name, arena.value($0.value)) })
    properties.delivery_mode = UInt8(AMQP_DELIVERY_PERSISTENT.rawValue)
    properties.message_id = arena.text(message.id)
    properties.timestamp = UInt64(max(message.at.milliseconds, 0) / 1000)
    properties.type = arena.text(message.type)
    let (exchange, key) = (arena.text(message.exchange), arena.text(message.routingKey))
    let status = message.body.withUnsafeBytes { body in
      amqp_basic_publish(
        connection, Self.channel, exchange, key, message.isMandatory ? 1 : 0, 0, &properties,
        amqp_bytes_t(len: body.count, bytes: UnsafeMutableRawPointer(mutating: body.baseAddress)))
    }
    try sent(status)
    published += 1
    return published
  }

  /// Where sending failed the broker may have said why before.
  func sent(_ status: Int32) throws(RabbitFailure) {
    guard status != 0 else { return }
    let failure = failure("cannot be written to: \(rabbitWords(status))")
    do throws(RabbitFailure) {
      while try next(until: .now) != nil {}
    } catch {
      throw isFarewell ? error : blocked.map(isBlocked) ?? failure
    }
    throw blocked.map(isBlocked) ?? failure
  }

  // MARK: - Listening

  private var isFarewell = false

  /// The next word, or nil if none comes in time. Heartbeats go out and in by this alone.
  func next(until deadline: ContinuousClock.Instant) throws(RabbitFailure) -> RabbitWord? {
    amqp_maybe_release_buffers(connection)
    while true {
      var frame = amqp_frame_t()
      var timeout = timeval(max(ContinuousClock.now.duration(to: deadline), .zero))
      let status = amqp_simple_wait_frame_noblock(connection, &frame, &timeout)
      if status == AMQP_STATUS_TIMEOUT.rawValue { return nil }
      guard status == 0 else { throw failure("is lost: \(rabbitWords(status))") }
      if let word = try word(frame) { return word }
    }
  }

  private func word(_ frame: amqp_frame_t) throws(RabbitFailure) -> RabbitWord? {
    switch frame.frame_type {
    case RABBIT_FRAME_METHOD: return try word(frame.payload.method)
    case RABBIT_FRAME_HEADER:
      let properties = frame.payload.properties
      content?.begin(
        properties.decoded?.assumingMemoryBound(to: amqp_basic_properties_t.self).pointee, properties.body_size)
    case RABBIT_FRAME_BODY: content?.add(frame.payload.body_fragment.array)
    default: return nil
    }
    guard let word = content?.word else { return nil }
    content = nil
    return word
  }

  private func word(_ method: amqp_method_t) throws(RabbitFailure) -> RabbitWord? {
    switch method.id {
    case RABBIT_BASIC_ACK:
      let ack = method.fields(amqp_basic_ack_t.self)
      return .answered(tag: ack.delivery_tag, isMultiple: ack.multiple != 0, isConfirmed: true)
    case RABBIT_BASIC_NACK:
      let nack = method.fields(amqp_basic_nack_t.self)
      return .answered(tag: nack.delivery_tag, isMultiple: nack.multiple != 0, isConfirmed: false)
    case RABBIT_BASIC_RETURN:
      let returned = method.fields(amqp_basic_return_t.self)
      content = RabbitContent(.returned(reason: "\(returned.reply_code) \(returned.reply_text.line)"))
    case RABBIT_BASIC_DELIVER:
      let delivery = method.fields(amqp_basic_deliver_t.self)
      expectDelivery(tag: delivery.delivery_tag, isRedelivered: delivery.redelivered != 0)
    case RABBIT_BASIC_CANCEL:
      throw failure("no longer hands out the queue \(settings.deadLetterQueue): it was deleted or moved")
    case RABBIT_CONNECTION_BLOCKED: blocked = method.fields(amqp_connection_blocked_t.self).reason.line
    case RABBIT_CONNECTION_UNBLOCKED: blocked = nil
    case RABBIT_CONNECTION_CLOSE, RABBIT_CHANNEL_CLOSE:
      isFarewell = true
      throw failure("closed the connection: \(method.reason)")
    default: break
    }
    return nil
  }

  /// The next frames are a message's.
  func expectDelivery(tag: UInt64, isRedelivered: Bool) {
    content = RabbitContent(.delivered(tag: tag, isRedelivered: isRedelivered))
  }

  // MARK: - Lines for people

  func failure(_ what: String) -> RabbitFailure { RabbitFailure("\(settings.place) \(what)") }

  func isBlocked(_ reason: String) -> RabbitFailure {
    failure("takes no messages for now: \(reason.isEmpty ? "it says that it is short of something" : reason)")
  }
}

extension amqp_method_t {
  /// - Precondition: the type belongs to the method's id.
  func fields<Fields>(_ type: Fields.Type) -> Fields { decoded.assumingMemoryBound(to: type).pointee }

  /// Of a method that closes a connection or channel; both have the same fields.
  var reason: String {
    switch id {
    case RABBIT_CHANNEL_CLOSE: fields(amqp_channel_close_t.self).reply_text.line
    case RABBIT_CONNECTION_CLOSE: fields(amqp_connection_close_t.self).reply_text.line
    default: "it answered out of turn"
    }
  }
}

extension timeval {
  init(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    self.init(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
  }
}

/// What librabbitmq means by a number.
func rabbitWords(_ status: Int32) -> String {
  switch status {
  case AMQP_STATUS_TIMEOUT.rawValue: "it did not answer in time"
  case AMQP_STATUS_HEARTBEAT_TIMEOUT.rawValue: "it has been silent for two heartbeats"
  case AMQP_STATUS_CONNECTION_CLOSED.rawValue, AMQP_STATUS_SOCKET_CLOSED.rawValue: "the connection was closed"
  case AMQP_STATUS_SOCKET_ERROR.rawValue, AMQP_STATUS_TCP_ERROR.rawValue: "the connection broke or was not taken"
  case AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED.rawValue: "its name is unknown"
  case AMQP_STATUS_SSL_PEER_VERIFY_FAILED.rawValue: "its certificate is not one that is trusted"
  case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED.rawValue: "its certificate is for another name"
  case AMQP_STATUS_SSL_CONNECTION_FAILED.rawValue, AMQP_STATUS_SSL_ERROR.rawValue: "TLS failed"
  default: String(cString: amqp_error_string2(status))
  }
}
