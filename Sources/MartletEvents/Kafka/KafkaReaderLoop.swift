// The consumer's thread: a member of the group, from its first question to its end. Nothing here is touched by another thread.

internal import CRdkafka
internal import Logging

final class KafkaReaderLoop {
  enum Letter: Sendable {
    case next(untilEmpty: Bool, KafkaReader.Reply<KafkaReader.Answer>)
    case commit(KafkaRecord, KafkaReader.Reply<Void>)
    case close(KafkaReader.Reply<Void>)
  }

  private let settings: KafkaSettings
  private let group: String
  private let topic: String
  private let mailbox: KafkaMailbox<Letter>
  private var log: KafkaLog
  private var client: KafkaClient?
  /// Nil until the group has decided.
  private var assigned: Set<KafkaPartition>?
  private var ended: Set<KafkaPartition> = []
  private var complaint: String?
  private let patienceEnds = ContinuousClock.now + patience

  /// So long somebody who wants to read until the end waits for the group to give him a partition.
  private static let patience = Duration.seconds(30)
  private static let slice: Int32 = 250

  init(_ settings: KafkaSettings, group: String, topic: String, mailbox: KafkaMailbox<Letter>, logger: Logger) {
    self.settings = settings
    self.group = group
    self.topic = topic
    self.mailbox = mailbox
    log = KafkaLog(logger)
  }

  func run() {
    while true {
      mailbox.bell.wait(until: nil)
      for letter in mailbox.take() {
        switch letter {
        case .next(let untilEmpty, let reply): reply(attempt { () throws(KafkaFailure) in try next(untilEmpty) })
        case .commit(let record, let reply): reply(attempt { () throws(KafkaFailure) in try commit(record) })
        case .close(let reply):
          client = nil
          _ = mailbox.close()
          return reply(.success(()))
        }
      }
    }
  }

  private func attempt<Value>(_ body: () throws(KafkaFailure) -> Value) -> Result<Value, KafkaFailure> {
    do throws(KafkaFailure) {
      return .success(try body())
    } catch {
      return .failure(KafkaFailure(settings.line("topic \(topic): \(error)")))
    }
  }

  private func openClient() throws(KafkaFailure) -> KafkaClient {
    if let client { return client }
    let client = try KafkaClient(settings, role: .consumer(group: group))
    try client.subscribe(to: topic)
    self.client = client
    return client
  }

  private func next(_ untilEmpty: Bool) throws(KafkaFailure) -> KafkaReader.Answer {
    let client = try openClient()
    while let event = client.nextEvent(within: Self.slice) {
      switch event {
      case .record(let record):
        ended.remove(KafkaPartition(topic: record.message.topic, partition: Int32(record.partition)))
        complaint = nil
        return .record(record)
      case .endOf(let partition): ended.insert(partition)
      case .assigned(let partitions):
        assigned = partitions
        ended = []
      case .trouble(let code, let text): try weigh(code, text, untilEmpty)
      case .log(let level, let facility, let text): log.write(level: level, facility: facility, text: text)
      case .reports, .other: break
      }
      if untilEmpty, isEmpty { return .empty }
    }
    if untilEmpty, assigned?.isEmpty ?? true, ContinuousClock.now >= patienceEnds {
      let reason = complaint ?? "others of the group \(group) have them all"
      throw KafkaFailure("no partition could be read within \(Self.patience): \(reason)")
    }
    return .nothingYet
  }

  private var isEmpty: Bool {
    guard let assigned, !assigned.isEmpty else { return false }
    return ended.isSuperset(of: assigned)
  }

  /// Most troubles pass; these do not.
  private func weigh(_ code: rd_kafka_resp_err_t, _ text: String, _ untilEmpty: Bool) throws(KafkaFailure) {
    complaint = text
    switch code {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, RD_KAFKA_RESP_ERR__FATAL,
      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      throw KafkaFailure(text)
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART where untilEmpty:
      throw KafkaFailure("it does not exist")
    default:
      log.write(level: 4, facility: "ERROR", text: text)
    }
  }

  private func commit(_ record: KafkaRecord) throws(KafkaFailure) {
    guard let client else { return }
    let code = client.commit(record)
    switch code {
    case RD_KAFKA_RESP_ERR_NO_ERROR: return
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
      RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
      // The partition is being given to another; the message comes again, to us or to him.
      log.write(level: 4, facility: "COMMIT", text: "a message will come again: \(KafkaFailure(code))")
    default:
      throw KafkaFailure(
        "cannot commit offset \(record.offset) of partition \(record.partition): \(KafkaFailure(code))")
    }
  }
}
