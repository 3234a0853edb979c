// The producer's thread: takes batches from the mailbox, hands their messages to librdkafka as far as its queue takes them, and
// gathers the delivery reports. Nothing here is touched by another thread.

internal import CRdkafka
internal import Logging
internal import MartletCore

final class KafkaProducerLoop {
  enum Letter: Sendable {
    case send([KafkaMessage], KafkaProducer.Wish, @Sendable ([SinkVerdict]) -> Void)
    case status(@Sendable (KafkaStatus) -> Void)
    case close(@Sendable () -> Void)
  }

  private let settings: KafkaSettings
  private let mailbox: KafkaMailbox<Letter>
  private var log: KafkaLog
  private var client: KafkaClient?
  private var flights: [KafkaFlight] = []
  private var lastFlight: UInt = 0
  private var closers: [@Sendable () -> Void] = []

  private var hasAnswer = false
  /// Since the last answer: what librdkafka complained about, and the last event that was not delivered.
  private var complaint: String?
  private var failure: String?
  /// What the brokers last said about topics whose messages had timed out.
  private var reasons: [String: (code: rd_kafka_resp_err_t, at: ContinuousClock.Instant)] = [:]

  /// Of the wait for a report of librdkafka, which looks for overdue messages once a second.
  private static let slack = Duration.seconds(2)

  init(_ settings: KafkaSettings, mailbox: KafkaMailbox<Letter>, logger: Logger) {
    self.settings = settings
    self.mailbox = mailbox
    log = KafkaLog(logger)
  }

  func run() {
    openClient()
    while closers.isEmpty {
      mailbox.bell.wait(until: flights.map(\.deadline).min())
      for letter in mailbox.take() { read(letter) }
      hear()
      proceed()
      hear()
      giveUp()
    }
    close()
  }

  private func read(_ letter: Letter) {
    switch letter {
    case .send(let messages, let wish, let answer):
      lastFlight += 1
      let deadline = ContinuousClock.now + settings.timeout + Self.slack
      flights.append(KafkaFlight(lastFlight, messages, wish, deadline: deadline, answer: answer))
    case .status(let answer):
      answer(status())
    case .close(let done):
      closers.append(done)
    }
  }

  private func close() {
    for flight in flights { flight.end(.failed(settings.line("Martlet closes its producer"))) }
    flights = []
    client = nil
    for letter in mailbox.close() { read(letter) }
    for flight in flights { flight.end(.failed(settings.line("Martlet has closed its producer"))) }
    for done in closers { done() }
  }

  // MARK: - Out

  private func openClient() {
    do throws(KafkaFailure) {
      client = try KafkaClient(settings, role: .producer, bell: mailbox.bell)
    } catch {
      complaint = error.description
    }
  }

  /// Hands in what the queue takes. After a fatal error the reports of the old client are waited for, then a new one goes on.
  private func proceed() {
    if let client, client.isBroken, client.openMessages == 0 { self.client = nil }
    guard !flights.isEmpty else { return }
    if client == nil { openClient() }
    guard let client else {
      let verdict = SinkVerdict.failed(settings.line(complaint ?? "no client"))
      for flight in flights { flight.end(verdict) }
      flights = []
      return
    }
    for index in flights.indices {
      // A full queue is emptied by reports, and they bring us back here.
      guard !client.isBroken, handIn(&flights[index], to: client) else { break }
    }
    flights.removeAll { $0.answerIfComplete() }
  }

  /// False where the queue is full.
  private func handIn(_ flight: inout KafkaFlight, to client: KafkaClient) -> Bool {
    while let index = flight.next {
      let code = client.produce(flight.messages[index], token: flight.token(index))
      if code == RD_KAFKA_RESP_ERR__QUEUE_FULL { return false }
      flight.handedIn(index)
      if code == RD_KAFKA_RESP_ERR_NO_ERROR { continue }
      // No report will come.
      flight.reported()
      judge(code, index, &flight)
    }
    return true
  }

  /// Those of whom nobody wants to know any more, and those who have waited too long.
  private func giveUp() {
    let now = ContinuousClock.now
    flights.removeAll { flight in
      if flight.wish.isWithdrawn {
        flight.end(.failed(settings.line("not acknowledged yet when it was cancelled")))
      } else if flight.deadline <= now {
        let because = complaint.map { "; \($0)" } ?? ""
        flight.end(.failed(settings.line("not acknowledged within \(settings.timeout)\(because)")))
      } else {
        return false
      }
      return true
    }
  }

  // MARK: - In

  private func hear() {
    while let event = client?.nextEvent() {
      switch event {
      case .reports(let reports):
        for report in reports { settle(report) }
        flights.removeAll { $0.answerIfComplete() }
        proceed()
      case .trouble(_, let text): complaint = text
      case .log(let level, let facility, let text): log.write(level: level, facility: facility, text: text)
      case .record, .endOf, .assigned, .other: break
      }
    }
  }

  private func settle(_ report: KafkaEvent.Report) {
    let (number, index) = KafkaFlight.place(report.token)
    // Its flight may have been given up.
    guard let position = flights.firstIndex(where: { $0.number == number }) else { return }
    flights[position].reported()
    // A broker refuses a batch as a whole. Which of its messages is too large shows when each comes alone.
    if report.code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, flights[position].mayGoAlone(index) { return }
    judge(report.code, index, &flights[position])
  }

  private func judge(_ code: rd_kafka_resp_err_t, _ index: Int, _ flight: inout KafkaFlight) {
    let message = flight.messages[index]
    let code = code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT ? reason(for: message.topic) : code
    let verdict = settings.verdict(code, on: message, trouble: complaint)
    flight.settle(index, verdict)
    switch verdict {
    case .delivered: (hasAnswer, complaint, failure) = (true, nil, nil)
    case .failed(let line), .refused(let line): failure = line
    }
  }

  /// Of messages that have timed out: librdkafka keeps those for a topic that it may not see and does not say so.
  private func reason(for topic: String) -> rd_kafka_resp_err_t {
    let now = ContinuousClock.now
    if let known = reasons[topic], now - known.at < .seconds(1) { return known.code }
    var code = client?.callBroker(about: topic, within: 500) ?? RD_KAFKA_RESP_ERR_NO_ERROR
    if code == RD_KAFKA_RESP_ERR_NO_ERROR { code = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT }
    reasons[topic] = (code, .now)
    return code
  }

  // MARK: - Health

  private func status() -> KafkaStatus {
    hear()
    if client == nil { openClient() }
    if let client, !hasAnswer || complaint != nil {
      let code = client.callBroker(within: 500)
      if code == RD_KAFKA_RESP_ERR_NO_ERROR {
        (hasAnswer, complaint) = (true, nil)
      } else {
        hear()
        complaint = complaint ?? KafkaFailure(code).description
      }
    }
    return KafkaStatus(
      isUp: hasAnswer && complaint == nil, trouble: failure ?? complaint.map { settings.line($0) })
  }
}
