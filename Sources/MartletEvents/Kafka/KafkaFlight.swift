// One batch on its way: which messages librdkafka has, which have their verdict, and who waits. Kept by `KafkaProducerLoop`.

internal import MartletCore

struct KafkaFlight {
  let number: UInt
  let messages: [KafkaMessage]
  let wish: KafkaProducer.Wish
  let deadline: ContinuousClock.Instant
  private let answer: @Sendable ([SinkVerdict]) -> Void
  private var verdicts: [SinkVerdict?]
  private var missing: Int
  /// All before it were handed in.
  private var frontier = 0
  /// Handed in, without a report so far.
  private var open = 0
  /// Were in a batch that was too large; they go one at a time once all others are done.
  private var singles: [Int] = []
  private var isSingle: Bool

  init(
    _ number: UInt, _ messages: [KafkaMessage], _ wish: KafkaProducer.Wish, deadline: ContinuousClock.Instant,
    answer: @escaping @Sendable ([SinkVerdict]) -> Void
  ) {
    self.number = number
    self.messages = messages
    self.wish = wish
    self.deadline = deadline
    self.answer = answer
    verdicts = Array(repeating: nil, count: messages.count)
    missing = messages.count
    isSingle = messages.count == 1
  }

  // MARK: Out

  /// What is to be handed in now; the singles in their old order.
  var next: Int? {
    if frontier < messages.count { return frontier }
    return open == 0 ? singles.min() : nil
  }

  mutating func handedIn(_ index: Int) {
    if frontier < messages.count {
      frontier += 1
    } else {
      isSingle = true
      singles.removeAll { $0 == index }
    }
    open += 1
  }

  // MARK: In

  mutating func reported() {
    open -= 1
  }

  /// Notes that the message is to be sent once more, unless it was alone already.
  mutating func mayGoAlone(_ index: Int) -> Bool {
    guard !isSingle else { return false }
    singles.append(index)
    return true
  }

  mutating func settle(_ index: Int, _ verdict: SinkVerdict) {
    if verdicts[index] == nil { missing -= 1 }
    verdicts[index] = verdict
  }

  func answerIfComplete() -> Bool {
    guard missing == 0 else { return false }
    answer(verdicts.compactMap(\.self))
    return true
  }

  /// Answers with what there is, and with `verdict` for the rest.
  func end(_ verdict: SinkVerdict) {
    answer(verdicts.map { $0 ?? verdict })
  }

  // MARK: Tokens: what a report comes back with. Never 0, since flights are counted from 1.

  func token(_ index: Int) -> UInt { number << 32 | UInt(index) }

  static func place(_ token: UInt) -> (number: UInt, index: Int) { (token >> 32, Int(token & 0xFFFF_FFFF)) }
}
