// librdkafka's own mock brokers, in the test program: real connections, no disk, and errors on demand.

internal import CRdkafka
internal import Foundation
internal import Synchronization

package final class MockKafka: Sendable {
  /// The requests that can be made to fail (https://kafka.apache.org/protocol#protocol_api_keys).
  package enum Request: Int16, Sendable {
    case produce = 0
    case fetch = 1
    case metadata = 3
    case offsetCommit = 8
    case findCoordinator = 10
    case joinGroup = 11
    case initProducerID = 22
  }

  /// What they fail with.
  package enum Fault: Int32, Sendable {
    /// The connection is cut.
    case disconnect = -195
    case notLeader = 6
    case requestTimedOut = 7
    case messageTooLarge = 10
    case notEnoughReplicas = 19
    case topicUnauthorized = 29
    case clusterUnauthorized = 31
    case outOfOrderSequence = 45
    case unknownTopic = 3
  }

  private struct Handles {
    let client: OpaquePointer
    let cluster: OpaquePointer
  }

  package let brokers: [String]
  private let handles: Mutex<Handles>
  /// While it is down: sockets that keep its ports, or some client would be given one, and the mock ends the process where it cannot
  /// have it back.
  private let kept = Mutex<[Int32]>([])

  /// - Parameter topics: how many partitions each has; others come into being when they are first asked for.
  package init(brokers count: Int = 1, topics: [String: Int] = [:]) throws {
    let configuration = rd_kafka_conf_new()
    rd_kafka_conf_set_log_cb(configuration, nil)
    var text = [CChar](repeating: 0, count: 512)
    guard let client = rd_kafka_new(RD_KAFKA_PRODUCER, configuration, &text, text.count),
      let cluster = rd_kafka_mock_cluster_new(client, Int32(count))
    else { throw KafkaBrokerFailed(what: "no mock cluster", log: "") }
    brokers = String(cString: rd_kafka_mock_cluster_bootstraps(cluster)).split(separator: ",").map(String.init)
    handles = Mutex(Handles(client: client, cluster: cluster))
    for (topic, partitions) in topics {
      let code = handles.withLock { rd_kafka_mock_topic_create($0.cluster, topic, Int32(partitions), Int32(count)) }
      guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw KafkaBrokerFailed(what: "no topic \(topic)", log: "") }
    }
  }

  deinit {
    handles.withLock { handles in
      rd_kafka_mock_cluster_destroy(handles.cluster)
      rd_kafka_destroy(handles.client)
    }
  }

  /// The next requests of the kind fail, one with each.
  package func fail(_ request: Request, with faults: [Fault]) {
    let codes = faults.map { rd_kafka_resp_err_t($0.rawValue) }
    handles.withLock { rd_kafka_mock_push_request_errors_array($0.cluster, request.rawValue, codes.count, codes) }
  }

  /// Requests of the kind that come from now on go well again.
  package func heal(_ request: Request) {
    handles.withLock { rd_kafka_mock_clear_request_errors($0.cluster, request.rawValue) }
  }

  /// Whoever asks for the topic hears this; nil ends it.
  package func setTopic(_ topic: String, to fault: Fault?) {
    let code = rd_kafka_resp_err_t(fault?.rawValue ?? 0)
    handles.withLock { rd_kafka_mock_topic_set_error($0.cluster, topic, code) }
  }

  /// Cuts all connections and takes no new ones.
  package func goDown() {
    setAll { rd_kafka_mock_broker_set_down($0, $1) }
    kept.withLock { kept in
      if kept.isEmpty {
        kept = brokers.compactMap { $0.split(separator: ":").last.flatMap { UInt16($0) } }.map(keepPort)
      }
    }
  }

  package func comeUp() {
    setAll { rd_kafka_mock_broker_set_up($0, $1) }
    kept.withLock { kept in
      for descriptor in kept { close(descriptor) }
      kept = []
    }
  }

  /// Each answer comes so much later.
  package func setDelay(milliseconds: Int) {
    setAll { rd_kafka_mock_broker_set_rtt($0, $1, Int32(milliseconds)) }
  }

  private func setAll(_ body: @Sendable (OpaquePointer, Int32) -> rd_kafka_resp_err_t) {
    handles.withLock { handles in
      for broker in 1...brokers.count {
        precondition(body(handles.cluster, Int32(broker)) == RD_KAFKA_RESP_ERR_NO_ERROR, "no broker \(broker)")
      }
    }
  }
}

/// Bound and not listening: others may bind it who say that they share it, as the mock does, and no client is given it (ip(7),
/// SO_REUSEADDR).
private func keepPort(_ port: UInt16) -> Int32 {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  var shares: Int32 = 1
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &shares, socklen_t(MemoryLayout<Int32>.size))
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  // Where it is taken already, the mock has to be lucky.
  _ = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
  return descriptor
}

package struct KafkaBrokerFailed: Error, CustomStringConvertible {
  package let what: String
  package let log: String
  package var description: String { log.isEmpty ? what : "\(what); its log ends:\n\(log.suffix(2000))" }
}
