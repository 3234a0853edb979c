// The half of a client that reads: joins its group, takes partitions, copies messages, commits offsets.

internal import CRdkafka

extension KafkaClient {
  func subscribe(to topic: String) throws(KafkaFailure) {
    let topics = rd_kafka_topic_partition_list_new(1)
    defer { rd_kafka_topic_partition_list_destroy(topics) }
    rd_kafka_topic_partition_list_add(topics, topic, -1)  // any partition
    let code = rd_kafka_subscribe(handle, topics)
    if code != RD_KAFKA_RESP_ERR_NO_ERROR { throw KafkaFailure(code) }
  }

  /// The group goes on behind this record, whoever reads then. Waits for the brokers.
  func commit(_ record: KafkaRecord) -> rd_kafka_resp_err_t {
    let places = rd_kafka_topic_partition_list_new(1)
    defer { rd_kafka_topic_partition_list_destroy(places) }
    let place = rd_kafka_topic_partition_list_add(places, record.message.topic, Int32(record.partition))
    place?.pointee.offset = record.offset + 1
    return rd_kafka_commit(handle, places, 0)
  }

  func record(_ event: OpaquePointer) -> KafkaEvent {
    guard let message = rd_kafka_event_message_next(event) else { return .other }
    let found = message.pointee
    guard found.err == RD_KAFKA_RESP_ERR_NO_ERROR else {
      return .trouble(found.err, String(cString: rd_kafka_message_errstr(message)))
    }
    return .record(
      KafkaRecord(
        message: KafkaMessage(
          topic: String(cString: rd_kafka_topic_name(found.rkt)),
          key: found.key.map { Array(UnsafeRawBufferPointer(start: $0, count: found.key_len)) },
          value: Array(UnsafeRawBufferPointer(start: found.payload, count: found.payload == nil ? 0 : found.len)),
          headers: headers(message)),
        partition: Int(found.partition), offset: found.offset))
  }

  private func headers(_ message: UnsafePointer<rd_kafka_message_t>) -> [KafkaMessage.Header] {
    var list: OpaquePointer?
    guard rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR else { return [] }
    var headers: [KafkaMessage.Header] = []
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var count = 0
    while rd_kafka_header_get_all(list, headers.count, &name, &value, &count) == RD_KAFKA_RESP_ERR_NO_ERROR {
      let bytes = UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : count)
      headers.append(.init(name.map { String(cString: $0) } ?? "", String(decoding: bytes, as: UTF8.self)))
    }
    return headers
  }

  /// Takes what the group gives, and gives up what it takes away.
  func rebalance(_ event: OpaquePointer) -> KafkaEvent {
    let partitions = rd_kafka_event_topic_partition_list(event)
    let isGiven = rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS
    let isStepwise = rd_kafka_rebalance_protocol(handle).map { String(cString: $0) } == "COOPERATIVE"
    switch (isStepwise, isGiven) {
    case (true, true): rd_kafka_error_destroy(rd_kafka_incremental_assign(handle, partitions))
    case (true, false): rd_kafka_error_destroy(rd_kafka_incremental_unassign(handle, partitions))
    case (false, true): rd_kafka_assign(handle, partitions)
    case (false, false): rd_kafka_assign(handle, nil)
    }
    return .assigned(assignment)
  }

  private var assignment: Set<KafkaPartition> {
    var list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
    guard rd_kafka_assignment(handle, &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list else { return [] }
    defer { rd_kafka_topic_partition_list_destroy(list) }
    return Set((0..<Int(list.pointee.cnt)).map { KafkaPartition(list.pointee.elems[$0]) })
  }
}

extension KafkaPartition {
  init(_ place: rd_kafka_topic_partition_t) {
    self.init(topic: String(cString: place.topic), partition: place.partition)
  }
}
