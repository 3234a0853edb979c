// Messages as they go to Kafka and come from it.

package struct KafkaMessage: Sendable, Hashable {
  package struct Header: Sendable, Hashable {
    package var name: String
    package var value: String

    package init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  package var topic: String
  /// Those of one key are in one partition, in the order in which they were sent.
  package var key: [UInt8]?
  package var value: [UInt8]
  package var headers: [Header]

  package init(topic: String, key: [UInt8]?, value: [UInt8], headers: [Header] = []) {
    self.topic = topic
    self.key = key
    self.value = value
    self.headers = headers
  }
}

/// A message that was read, and where it stood.
package struct KafkaRecord: Sendable, Hashable {
  package var message: KafkaMessage
  package var partition: Int
  package var offset: Int64
}

struct KafkaPartition: Hashable {
  var topic: String
  var partition: Int32
}
