// What stands in a topic, read without a group and without any code of Martlet's.

internal import CRdkafka
internal import Dispatch

package struct KafkaContents: Sendable {
  package struct Record: Sendable, Hashable {
    package let partition: Int
    package let offset: Int
    package let key: String
    package let value: [UInt8]
    package let headers: [String: String]
    package let headerNames: [String]
  }

  /// By partition and offset.
  package let records: [Record]

  /// Reads all partitions from the first message to the last. An unknown topic is empty.
  package static func of(_ topic: String, at brokers: [String]) async throws -> KafkaContents {
    try await withCheckedThrowingContinuation { (done: CheckedContinuation<KafkaContents, any Error>) in
      DispatchQueue.global().async {
        done.resume(with: Result { try read(topic, brokers) })
      }
    }
  }

  private static func read(_ topic: String, _ brokers: [String]) throws -> KafkaContents {
    let configuration = rd_kafka_conf_new()
    rd_kafka_conf_set_log_cb(configuration, nil)
    var text = [CChar](repeating: 0, count: 512)
    for (name, value) in [
      ("bootstrap.servers", brokers.joined(separator: ",")), ("group.id", "contents"), ("enable.partition.eof", "true"),
      ("enable.auto.commit", "false"), ("auto.offset.reset", "earliest"),
    ] {
      rd_kafka_conf_set(configuration, name, value, &text, text.count)
    }
    guard let client = rd_kafka_new(RD_KAFKA_CONSUMER, configuration, &text, text.count) else {
      throw KafkaBrokerFailed(what: "no consumer", log: "")
    }
    defer { rd_kafka_destroy(client) }
    rd_kafka_poll_set_consumer(client)
    let count = try partitions(of: topic, client)
    let list = rd_kafka_topic_partition_list_new(Int32(count))
    defer { rd_kafka_topic_partition_list_destroy(list) }
    for partition in 0..<count {
      rd_kafka_topic_partition_list_add(list, topic, Int32(partition))?.pointee.offset = Int64(
        RD_KAFKA_OFFSET_BEGINNING)
    }
    rd_kafka_assign(client, list)
    var records: [Record] = []
    var ends = 0
    let deadline = ContinuousClock.now + .seconds(300)
    while ends < count {
      guard ContinuousClock.now < deadline else { throw KafkaBrokerFailed(what: "\(topic) cannot be read", log: "") }
      guard let message = rd_kafka_consumer_poll(client, 200) else { continue }
      defer { rd_kafka_message_destroy(message) }
      switch message.pointee.err {
      case RD_KAFKA_RESP_ERR_NO_ERROR: records.append(record(message))
      case RD_KAFKA_RESP_ERR__PARTITION_EOF: ends += 1
      default: continue
      }
    }
    rd_kafka_consumer_close(client)
    return KafkaContents(records: records.sorted { ($0.partition, $0.offset) < ($1.partition, $1.offset) })
  }

  private static func partitions(of topic: String, _ client: OpaquePointer) throws -> Int {
    let handle = rd_kafka_topic_new(client, topic, nil)
    defer { rd_kafka_topic_destroy(handle) }
    var metadata: UnsafePointer<rd_kafka_metadata>?
    guard rd_kafka_metadata(client, 0, handle, &metadata, 120_000) == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata else {
      throw KafkaBrokerFailed(what: "no metadata of \(topic)", log: "")
    }
    defer { rd_kafka_metadata_destroy(metadata) }
    return metadata.pointee.topic_cnt == 0 ? 0 : Int(metadata.pointee.topics[0].partition_cnt)
  }

  private static func record(_ message: UnsafeMutablePointer<rd_kafka_message_t>) -> Record {
    func text(_ bytes: UnsafeRawPointer?, _ count: Int) -> String {
      String(decoding: UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : count), as: UTF8.self)
    }
    var names: [String] = []
    var headers: [String: String] = [:]
    var list: OpaquePointer?
    if rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR {
      var name: UnsafePointer<CChar>?
      var value: UnsafeRawPointer?
      var count = 0
      while rd_kafka_header_get_all(list, names.count, &name, &value, &count) == RD_KAFKA_RESP_ERR_NO_ERROR {
        let found = name.map { String(cString: $0) } ?? ""
        names.append(found)
        headers[found] = text(value, count)
      }
    }
    let found = message.pointee
    return Record(
      partition: Int(found.partition), offset: Int(found.offset), key: text(found.key, found.key_len),
      value: Array(UnsafeRawBufferPointer(start: found.payload, count: found.payload == nil ? 0 : found.len)),
      headers: headers, headerNames: names)
  }
}
