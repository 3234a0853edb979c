// From nothing to an open channel: socket, TLS, password, virtual host.

internal import CRabbitMQ
internal import Foundation
internal import MartletCore

extension RabbitLink {
  static func open(_ settings: RabbitSettings, _ limits: RabbitLimits) throws(RabbitFailure) -> RabbitLink {
    guard let connection = amqp_new_connection() else {
      throw RabbitFailure("\(settings.place): there is no memory left")
    }
    let link = RabbitLink(settings, connection)
    try link.connect(limits)
    try link.login(limits)
    amqp_channel_open(connection, channel)
    try link.check("refuses a channel")
    return link
  }

  private func connect(_ limits: RabbitLimits) throws(RabbitFailure) {
    var timeout = timeval(limits.connect)
    amqp_set_handshake_timeout(connection, &timeout)
    amqp_set_rpc_timeout(connection, &timeout)
    let socket = try settings.isSecure ? secureSocket() : amqp_tcp_socket_new(connection)
    guard let socket else { throw failure("cannot be reached: no socket") }
    let status = amqp_socket_open_noblock(socket, settings.host, Int32(settings.port), &timeout)
    guard status == 0 else { throw failure("cannot be reached: \(rabbitWords(status))") }
  }

  private func secureSocket() throws(RabbitFailure) -> OpaquePointer? {
    guard let socket = amqp_ssl_socket_new(connection) else { return nil }
    amqp_ssl_socket_set_verify_peer(socket, 1)
    amqp_ssl_socket_set_verify_hostname(socket, 1)
    amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST)
    guard let file = settings.certificates ?? Self.systemCertificates else {
      throw failure("cannot be reached: the system has no file of trusted certificates; name one by ?ca=")
    }
    guard amqp_ssl_socket_set_cacert(socket, file) == 0 else {
      throw failure("cannot be reached: no certificates can be read from \(file)")
    }
    return socket
  }

  /// Debian's, Red Hat's and Alpine's; librabbitmq has no default of its own.
  private static var systemCertificates: String? {
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
      .first(where: FileManager.default.isReadableFile)
  }

  private func login(_ limits: RabbitLimits) throws(RabbitFailure) {
    arena.reset()
    // The broker says only what it is told that we understand.
    let understood = ["connection.blocked", "publisher_confirms", "basic.nack", "consumer_cancel_notify"]
    var properties = arena.table([
      ("connection_name", arena.value("martlet")),
      ("capabilities", arena.value(arena.table(understood.map { ($0, arena.value(true)) }))),
    ])
    let heartbeat = max(Int32(limits.heartbeat.components.seconds), 1)
    let reply = rabbit_login(connection, settings.vhost, heartbeat, &properties, settings.user, settings.password)
    try check(reply, "refuses the user \(settings.user) or the virtual host \(settings.vhost)")
  }

  // MARK: - What is there

  func declareExchange() throws(RabbitFailure) {
    arena.reset()
    amqp_exchange_declare(
      connection, Self.channel, arena.text(settings.exchange), arena.text("topic"), 0, 1, 0, 0, amqp_table_t())
    try check("refuses the exchange \(settings.exchange)")
  }

  func declareDeadLetterQueue() throws(RabbitFailure) {
    arena.reset()
    let arguments = arena.table([("x-queue-type", arena.value("quorum"))])
    amqp_queue_declare(connection, Self.channel, arena.text(settings.deadLetterQueue), 0, 1, 0, 0, arguments)
    try check("refuses the queue \(settings.deadLetterQueue)")
  }

  /// From now on each message that is published gets an answer.
  func selectConfirms() throws(RabbitFailure) {
    amqp_confirm_select(connection, Self.channel)
    try check("refuses to confirm")
  }

  // MARK: - Consuming

  /// From now on messages come by themselves, at most so many unanswered ones.
  func consume(prefetch: Int) throws(RabbitFailure) {
    arena.reset()
    amqp_basic_qos(connection, Self.channel, 0, UInt16(clamping: max(prefetch, 1)), 0)
    try check("refuses a prefetch of \(prefetch)")
    amqp_basic_consume(
      connection, Self.channel, arena.text(settings.deadLetterQueue), amqp_bytes_t(), 0, 0, 0, amqp_table_t())
    try check("refuses the queue \(settings.deadLetterQueue)")
  }

  /// One message, now. Nil if there is none.
  func get(within limit: Duration) throws(RabbitFailure) -> RabbitDelivery? {
    arena.reset()
    amqp_maybe_release_buffers(connection)
    let reply = amqp_basic_get(connection, Self.channel, arena.text(settings.deadLetterQueue), 0)
    try check(reply, "refuses the queue \(settings.deadLetterQueue)")
    guard reply.reply.id != RABBIT_BASIC_GET_EMPTY else { return nil }
    let got = reply.reply.fields(amqp_basic_get_ok_t.self)
    expectDelivery(tag: got.delivery_tag, isRedelivered: got.redelivered != 0)
    let deadline = ContinuousClock.now + limit
    while let word = try next(until: deadline) {
      if case .delivered(let delivery) = word { return delivery }
    }
    throw failure("is lost: \(rabbitWords(AMQP_STATUS_TIMEOUT.rawValue))")
  }

  func acknowledge(_ delivery: RabbitDelivery) throws(RabbitFailure) {
    try sent(amqp_basic_ack(connection, Self.channel, delivery.tag, 0))
  }

  /// It goes back into the queue.
  func giveBack(_ delivery: RabbitDelivery) throws(RabbitFailure) {
    try sent(amqp_basic_reject(connection, Self.channel, delivery.tag, 1))
  }

  // MARK: - Answers

  private func check(_ what: String) throws(RabbitFailure) {
    try check(amqp_get_rpc_reply(connection), what)
  }

  private func check(_ reply: amqp_rpc_reply_t, _ what: String) throws(RabbitFailure) {
    switch reply.reply_type {
    case AMQP_RESPONSE_NORMAL: return
    case AMQP_RESPONSE_SERVER_EXCEPTION: throw failure("\(what): \(reply.reply.reason)")
    default: throw failure("is lost: \(rabbitWords(reply.library_error))")
    }
  }
}
