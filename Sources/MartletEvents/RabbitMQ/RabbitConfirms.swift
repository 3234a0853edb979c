// Who of a batch has been answered and how: the broker's confirms as a state machine without a broker. For `RabbitConnection`.

internal import MartletCore

struct RabbitConfirms: Sendable {
  enum Answer: Sendable, Hashable {
    case confirmed
    /// The broker could not keep it.
    case denied
    /// No queue took it.
    case returned(String)
    /// Not published, or not answered.
    case unanswered
  }

  private(set) var answers: [Answer]
  private let messages: [RabbitMessage]
  /// The broker's number of the first message; the others follow without a gap.
  private var firstTag: UInt64 = 1
  private var sent = 0
  private var answered: [Bool]
  /// All before it are answered.
  private var lowest = 0
  private var open = 0
  private(set) var bytesUnderWay = 0
  private(set) var hasReturns = false

  init(_ messages: [RabbitMessage]) {
    self.messages = messages
    answers = Array(repeating: .unanswered, count: messages.count)
    answered = Array(repeating: false, count: messages.count)
    open = messages.count
  }

  var isComplete: Bool { open == 0 }

  /// The next message is on its way.
  mutating func published(tag: UInt64) {
    if sent == 0 { firstTag = tag }
    bytesUnderWay += messages[sent].size
    sent += 1
  }

  mutating func take(_ word: RabbitWord) {
    switch word {
    case .answered(let tag, let isMultiple, let isConfirmed):
      answer(tag, isMultiple, isConfirmed ? .confirmed : .denied)
    case .returned(let id, let reason): takeBack(id, reason)
    case .delivered: break
    }
  }

  /// Numbers from before this batch are a former one's, which has given up.
  private mutating func answer(_ tag: UInt64, _ isMultiple: Bool, _ answer: Answer) {
    // Zero stands for all so far.
    let last = tag == 0 && isMultiple ? sent - 1 : Int(clamping: tag) - Int(clamping: firstTag)
    guard last >= 0, last < sent else { return }
    for index in isMultiple ? min(lowest, last)...last : last...last where !answered[index] {
      answered[index] = true
      open -= 1
      bytesUnderWay -= messages[index].size
      if answers[index] == .unanswered { answers[index] = answer }
    }
    while lowest < sent, answered[lowest] { lowest += 1 }
  }

  /// The broker gives a message back first and then confirms it: that it was dealt with, not that it is kept.
  private mutating func takeBack(_ id: String?, _ reason: String) {
    hasReturns = true
    let index = (lowest..<sent).first {
      messages[$0].isMandatory && messages[$0].id == id && answers[$0] == .unanswered
    }
    if let index { answers[index] = .returned(reason) }
  }
}
