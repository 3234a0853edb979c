// The broker's answers, put to the messages that they are for.

internal import MartletCore
internal import Testing

@testable internal import MartletEvents

struct RabbitConfirmsTests {
  private func confirms(_ count: Int, from tag: UInt64 = 1, published: Int? = nil) -> RabbitConfirms {
    var confirms = RabbitConfirms(
      (0..<count).map { number in
        RabbitMessage(
          exchange: "", routingKey: "q", isMandatory: true, id: "id\(number)", type: "t",
          at: Timestamp(milliseconds: 0), headers: [], body: [])
      })
    for number in 0..<UInt64(published ?? count) { confirms.published(tag: tag + number) }
    return confirms
  }

  private func answered(_ tag: UInt64, multiple: Bool = false, _ isConfirmed: Bool = true) -> RabbitWord {
    .answered(tag: tag, isMultiple: multiple, isConfirmed: isConfirmed)
  }

  @Test func `Answers come in any order, for one or for all until then`() {
    var confirms = confirms(6, from: 41)
    confirms.take(answered(43))
    #expect(confirms.answers == [.unanswered, .unanswered, .confirmed, .unanswered, .unanswered, .unanswered])
    confirms.take(answered(44, multiple: true, false))
    #expect(confirms.answers == [.denied, .denied, .confirmed, .denied, .unanswered, .unanswered])
    #expect(!confirms.isComplete && confirms.bytesUnderWay == 2 * 512)
    confirms.take(answered(0, multiple: true))
    #expect(confirms.answers[4...] == [.confirmed, .confirmed])
    #expect(confirms.isComplete && confirms.bytesUnderWay == 0)
  }

  @Test func `A message that came back is not confirmed by its confirm`() {
    var confirms = confirms(3)
    confirms.take(.returned(messageID: "id1", reason: "312 NO_ROUTE"))
    #expect(!confirms.isComplete)
    confirms.take(answered(3, multiple: true))
    #expect(confirms.answers == [.confirmed, .returned("312 NO_ROUTE"), .confirmed])
    #expect(confirms.isComplete && confirms.hasReturns)
  }

  @Test func `Answers to a former batch, to what was not published and twice to the same change nothing`() {
    var confirms = confirms(3, from: 100, published: 2)
    for tag in [UInt64(1), 99, 102, .max] {
      confirms.take(answered(tag))
      confirms.take(answered(tag, multiple: true))
    }
    confirms.take(.returned(messageID: "id2", reason: "r"))
    confirms.take(.returned(messageID: nil, reason: "r"))
    #expect(confirms.answers == [.unanswered, .unanswered, .unanswered])
    confirms.take(answered(100, false))
    confirms.take(answered(101, multiple: true))
    confirms.take(answered(100))
    #expect(confirms.answers == [.denied, .confirmed, .unanswered])
    #expect(!confirms.isComplete)
  }

  @Test func `Pauses grow up to a limit, are spread, and end with success`() {
    var limits = RabbitLimits()
    (limits.firstPause, limits.lastPause) = (.seconds(1), .seconds(5))
    var backoff = RabbitBackoff(limits)
    let now = ContinuousClock.now
    #expect(backoff.isDue(now))
    var pauses: [Duration] = []
    for jitter in [0, 0, 0.5, 0, 1] {
      backoff.failed(jitter: jitter, now: now)
      pauses.append(now.duration(to: backoff.nextTry ?? now))
    }
    #expect(pauses == [.milliseconds(500), .seconds(1), .seconds(3), .seconds(2.5), .seconds(5)])
    #expect(!backoff.isDue(now + .seconds(4)) && backoff.isDue(now + .seconds(5)))
    backoff.succeeded()
    #expect(backoff.isDue(now))
    backoff.failed(jitter: 0, now: now)
    #expect(backoff.nextTry == now + .milliseconds(500))
  }
}
