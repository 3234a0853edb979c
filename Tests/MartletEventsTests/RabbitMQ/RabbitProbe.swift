// The other side of the broker, as the tests see it: makes queues, binds them, reads what has come with all its properties.

internal import CRabbitMQ
internal import Foundation

@testable internal import MartletEvents

struct Received: Sendable {
  var exchange: String
  var routingKey: String
  var contentType: String
  var deliveryMode: Int
  var messageID: String
  var type: String
  var seconds: Int
  var headers: [String: String]
  var body: [UInt8]
}

actor RabbitProbe {
  private nonisolated let thread = RabbitThread(tick: .seconds(60))
  private nonisolated let settings: RabbitSettings
  private var link: RabbitLink?

  nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

  init(_ url: String) throws {
    settings = try RabbitSettings(url: url)
  }

  deinit { thread.stop() }

  private func opened() throws -> RabbitLink {
    if let link { return link }
    let new = try RabbitLink.open(settings, .patient)
    link = new
    return new
  }

  private func check(_ link: RabbitLink, _ reply: amqp_rpc_reply_t? = nil) throws {
    let reply = reply ?? amqp_get_rpc_reply(link.connection)
    guard reply.reply_type != AMQP_RESPONSE_NORMAL else { return }
    self.link = nil
    throw RabbitFailure("the probe: \(reply.reply_type) \(reply.library_error)")
  }

  func declareExchange(_ name: String, type: String) throws {
    let link = try opened()
    amqp_exchange_declare(
      link.connection, 1, link.arena.text(name), link.arena.text(type), 0, 1, 0, 0, amqp_table_t())
    try check(link)
  }

  /// A durable one.
  func declareQueue(_ name: String, arguments: [String: String] = [:], maxLength: Int32? = nil) throws {
    let link = try opened()
    var entries = arguments.map { ($0.key, link.arena.value($0.value)) }
    if let maxLength {
      var value = amqp_field_value_t()
      value.kind = UInt8(AMQP_FIELD_KIND_I32.rawValue)
      value.value.i32 = maxLength
      entries.append(("x-max-length", value))
    }
    amqp_queue_declare(link.connection, 1, link.arena.text(name), 0, 1, 0, 0, link.arena.table(entries))
    try check(link)
  }

  func bind(_ queue: String, to exchange: String, _ key: String = "#") throws {
    let link = try opened()
    amqp_queue_bind(
      link.connection, 1, link.arena.text(queue), link.arena.text(exchange), link.arena.text(key), amqp_table_t())
    try check(link)
  }

  func purge(_ queue: String) throws {
    let link = try opened()
    amqp_queue_purge(link.connection, 1, link.arena.text(queue))
    try check(link)
  }

  func deleteQueue(_ queue: String) throws {
    let link = try opened()
    amqp_queue_delete(link.connection, 1, link.arena.text(queue), 0, 0)
    try check(link)
  }

  func deleteExchange(_ exchange: String) throws {
    let link = try opened()
    amqp_exchange_delete(link.connection, 1, link.arena.text(exchange), 0)
    try check(link)
  }

  /// How many wait in it.
  func count(_ queue: String) throws -> Int {
    let link = try opened()
    let declared = amqp_queue_declare(link.connection, 1, link.arena.text(queue), 1, 1, 0, 0, amqp_table_t())
    try check(link)
    return declared.map { Int($0.pointee.message_count) } ?? 0
  }

  /// Takes all that is in the queue.
  func drain(_ queue: String) throws -> [Received] {
    let link = try opened()
    var received: [Received] = []
    while true {
      link.arena.reset()
      amqp_maybe_release_buffers(link.connection)
      let reply = amqp_basic_get(link.connection, 1, link.arena.text(queue), 1)
      try check(link, reply)
      guard reply.reply.id != RABBIT_BASIC_GET_EMPTY else { return received }
      let got = reply.reply.fields(amqp_basic_get_ok_t.self)
      let (exchange, key) = (got.exchange.line, got.routing_key.line)
      var message = amqp_message_t()
      try check(link, amqp_read_message(link.connection, 1, &message, 0))
      defer { amqp_destroy_message(&message) }
      let properties = message.properties
      var headers: [String: String] = [:]
      for index in 0..<Int(properties.headers.num_entries) {
        let entry = properties.headers.entries[index]
        headers[entry.key.line] = entry.value.value.bytes.line
      }
      received.append(
        Received(
          exchange: exchange, routingKey: key, contentType: properties.content_type.line,
          deliveryMode: Int(properties.delivery_mode), messageID: properties.message_id.line,
          type: properties.type.line, seconds: Int(properties.timestamp), headers: headers, body: message.body.array))
    }
  }
}
