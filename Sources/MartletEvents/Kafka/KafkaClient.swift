// A client of librdkafka: its handle, its queue of events, its end. It belongs to one thread, that of a producer or of a consumer.

internal import CRdkafka

final class KafkaClient {
  let settings: KafkaSettings
  let handle: OpaquePointer
  private let queue: OpaquePointer
  private let isConsumer: Bool
  /// Of this thread only; a member here since each message has to be counted.
  var openMessages = 0
  /// The producer has lost count of its messages for good; only another one helps.
  var isBroken = false

  /// Returns before any broker has answered.
  /// - Parameter bell: rung when there is an event to take; it has to outlive the client.
  init(_ settings: KafkaSettings, role: KafkaRole, bell: KafkaBell? = nil) throws(KafkaFailure) {
    self.settings = settings
    if case .consumer = role { isConsumer = true } else { isConsumer = false }
    let configuration = try settings.makeConfiguration(role)
    var text = [CChar](repeating: 0, count: 512)
    let type = isConsumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER
    guard let handle = rd_kafka_new(type, configuration, &text, text.count) else {
      rd_kafka_conf_destroy(configuration)
      throw KafkaFailure(settings.redacted(String(text)))
    }
    self.handle = handle
    if isConsumer { rd_kafka_poll_set_consumer(handle) }
    queue = isConsumer ? rd_kafka_queue_get_consumer(handle) : rd_kafka_queue_get_main(handle)
    rd_kafka_set_log_queue(handle, queue)
    guard let bell else { return }
    rd_kafka_queue_cb_event_enable(
      queue, { _, bell in bell.map { Unmanaged<KafkaBell>.fromOpaque($0).takeUnretainedValue().ring() } },
      Unmanaged.passUnretained(bell).toOpaque())
  }

  /// Forgets messages that no broker has acknowledged. Waits for the library's threads.
  deinit {
    rd_kafka_queue_cb_event_enable(queue, nil, nil)
    rd_kafka_queue_destroy(queue)
    if isConsumer { rd_kafka_consumer_close(handle) }
    rd_kafka_destroy(handle)
  }

  /// Whether some broker answers; waits for it.
  func callBroker(within milliseconds: Int32) -> rd_kafka_resp_err_t {
    var metadata: UnsafePointer<rd_kafka_metadata>?
    let code = rd_kafka_metadata(handle, 0, nil, &metadata, milliseconds)
    if let metadata { rd_kafka_metadata_destroy(metadata) }
    return code
  }

  /// What the brokers say about a topic; waits for it. Nil where they say nothing.
  func callBroker(about topic: String, within milliseconds: Int32) -> rd_kafka_resp_err_t? {
    let topic = rd_kafka_topic_new(handle, topic, nil)
    guard topic != nil else { return nil }
    defer { rd_kafka_topic_destroy(topic) }
    var metadata: UnsafePointer<rd_kafka_metadata>?
    rd_kafka_metadata(handle, 0, topic, &metadata, milliseconds)
    guard let metadata else { return nil }
    defer { rd_kafka_metadata_destroy(metadata) }
    return metadata.pointee.topic_cnt == 0 ? nil : metadata.pointee.topics[0].err
  }

  /// Waits for it for so long.
  func nextEvent(within milliseconds: Int32 = 0) -> KafkaEvent? {
    guard let event = rd_kafka_queue_poll(queue, milliseconds) else { return nil }
    defer { rd_kafka_event_destroy(event) }
    switch rd_kafka_event_type(event) {
    case RD_KAFKA_EVENT_DR: return .reports(reports(event))
    case RD_KAFKA_EVENT_FETCH: return record(event)
    case RD_KAFKA_EVENT_REBALANCE: return rebalance(event)
    case RD_KAFKA_EVENT_LOG: return log(event)
    case RD_KAFKA_EVENT_ERROR: return trouble(event)
    default: return .other
    }
  }
}

enum KafkaEvent {
  struct Report {
    let token: UInt
    let code: rd_kafka_resp_err_t
  }

  case reports([Report])
  case record(KafkaRecord)
  /// Nothing more stands there, for now.
  case endOf(KafkaPartition)
  /// The partitions that the group now gives us.
  case assigned(Set<KafkaPartition>)
  /// Mostly of passing interest: the library tries again by itself.
  case trouble(rd_kafka_resp_err_t, String)
  case log(level: Int32, facility: String, text: String)
  case other
}

extension KafkaClient {
  private func reports(_ event: OpaquePointer) -> [KafkaEvent.Report] {
    var reports: [KafkaEvent.Report] = []
    reports.reserveCapacity(rd_kafka_event_message_count(event))
    while let message = rd_kafka_event_message_next(event) {
      reports.append(.init(token: UInt(bitPattern: message.pointee._private), code: message.pointee.err))
    }
    openMessages -= reports.count
    return reports
  }

  private func log(_ event: OpaquePointer) -> KafkaEvent {
    var facility: UnsafePointer<CChar>?
    var text: UnsafePointer<CChar>?
    var level: Int32 = 0
    guard rd_kafka_event_log(event, &facility, &text, &level) == 0, let facility, let text else { return .other }
    return .log(level: level, facility: String(cString: facility), text: settings.redacted(String(cString: text)))
  }

  private func trouble(_ event: OpaquePointer) -> KafkaEvent {
    let code = rd_kafka_event_error(event)
    if code == RD_KAFKA_RESP_ERR__PARTITION_EOF, let place = rd_kafka_event_topic_partition(event) {
      defer { rd_kafka_topic_partition_destroy(place) }
      return .endOf(KafkaPartition(place.pointee))
    }
    var text = rd_kafka_event_error_string(event).map { String(cString: $0) } ?? ""
    if code == RD_KAFKA_RESP_ERR__FATAL || rd_kafka_event_error_is_fatal(event) != 0 {
      var reason = [CChar](repeating: 0, count: 512)
      rd_kafka_fatal_error(handle, &reason, reason.count)
      text = String(reason)
      isBroken = true
    }
    return .trouble(code, settings.redacted(text.isEmpty ? String(cString: rd_kafka_err2str(code)) : text))
  }
}

// MARK: - Producing

extension KafkaClient {
  /// The message is copied. Its report will bear the token, unless the code says that it was not taken.
  func produce(_ message: KafkaMessage, token: UInt) -> rd_kafka_resp_err_t {
    let headers = rd_kafka_headers_new(message.headers.count)
    for header in message.headers {
      var value = header.value
      value.withUTF8 { _ = rd_kafka_header_add(headers, header.name, -1, $0.baseAddress, $0.count) }
    }
    let code = (message.key ?? []).withUnsafeBytes { key in
      message.value.withUnsafeBytes { value in
        martlet_kafka_produce(
          handle, message.topic, message.key == nil ? nil : key.baseAddress, key.count, value.baseAddress, value.count,
          headers, token)
      }
    }
    if code == RD_KAFKA_RESP_ERR_NO_ERROR {
      openMessages += 1
    } else {
      rd_kafka_headers_destroy(headers)
    }
    return code
  }
}
