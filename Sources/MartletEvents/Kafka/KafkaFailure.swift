// What librdkafka's error codes mean for whoever sends: may it be repeated, and what is the person on call told.

internal import CRdkafka
internal import MartletCore

/// The one error of this folder: a line for people, without secrets.
package struct KafkaFailure: Error, Hashable, CustomStringConvertible {
  package let description: String

  init(_ description: String) {
    self.description = description
  }

  init(_ code: rd_kafka_resp_err_t) {
    description = String(cString: rd_kafka_err2str(code))
  }
}

extension KafkaSettings {
  /// `Kafka at b1:9092,b2:9092: …`
  func line(_ what: String) -> String { "Kafka at \(brokerList): \(what)" }

  /// - Parameters:
  ///   - trouble: what librdkafka last complained about, for errors that say little by themselves.
  func verdict(_ code: rd_kafka_resp_err_t, on message: KafkaMessage, trouble: String?) -> SinkVerdict {
    func line(_ what: String) -> String { self.line("topic \(message.topic): \(what)") }
    let because = trouble.map { "; \($0)" } ?? ""
    switch code {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
      return .delivered
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
      RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
      return .refused(line("a message of \(message.value.count) bytes is too large (message.max.bytes)"))
    case RD_KAFKA_RESP_ERR_INVALID_RECORD, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
      return .refused(line(String(cString: rd_kafka_err2str(code))))
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
      RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return .failed(line("it does not exist, and the brokers do not make it"))
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      return .failed(line("Martlet's user is not allowed to write to it"))
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
      return .failed(line("not acknowledged within \(timeout)\(because)"))
    default:
      return .failed(line(String(cString: rd_kafka_err2str(code)) + because))
    }
  }
}
