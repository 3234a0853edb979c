// Follows one conversation with a mail server: what was said last, what was answered, and when the mail was taken. It belongs to
// one `SMTPTransfer` and its thread.

final class SMTPConversation {
  /// What the server was asked last.
  enum Step: Hashable {
    case greeting
    case hello
    case startTLS
    case login
    case sender
    /// The number of the recipient, from 0.
    case recipient(Int)
    case message
  }

  struct Reply: Hashable {
    var code: Int
    /// Its last line.
    var text: String
  }

  private(set) var step = Step.greeting
  /// To the step; nil until it has come. What the server says to QUIT, with which libcurl leaves after a refusal too, is none.
  private(set) var reply: Reply?
  private(set) var isAccepted = false
  /// An address that must not be connected to, and why.
  private(set) var refusedTarget: String?

  private let message: [UInt8]
  private var position = 0
  private var isMessageRead = false
  private var recipients = 0
  private var isLeaving = false
  private var acceptedAt: ContinuousClock.Instant?
  private let isUnwanted: () -> Bool
  private let refusal: (String) -> String?
  private let onAccepted: () -> Void

  /// For the server's answer to QUIT: nothing depends on it.
  private static let farewellTime = Duration.seconds(1)

  init(
    message: [UInt8], isUnwanted: @escaping () -> Bool, refusal: @escaping (String) -> String?,
    onAccepted: @escaping () -> Void
  ) {
    self.message = message
    self.isUnwanted = isUnwanted
    self.refusal = refusal
    self.onAccepted = onAccepted
  }

  /// A command of ours. The lines that follow AUTH are secrets and are not looked at.
  func said(_ line: String) {
    if step == .login, reply?.code == 334 { return }
    let next: Step
    switch line.prefix(while: { $0.isLetter }).uppercased() {
    case "EHLO", "HELO": next = .hello
    case "STARTTLS": next = .startTLS
    case "AUTH": next = .login
    case "MAIL": next = .sender
    case "RCPT":
      next = .recipient(recipients)
      recipients += 1
    case "DATA": next = .message
    case "QUIT":
      isLeaving = true
      return
    default: return
    }
    step = next
    reply = nil
  }

  /// A line of the server's.
  func heard(_ line: String) {
    guard !isLeaving, let code = Int(line.prefix(3)), (200..<600).contains(code), line.dropFirst(3).first != "-"
    else {
      return
    }
    reply = Reply(code: code, text: String(line.prefix { !$0.isNewline }))
    if isMessageRead, !isAccepted, code < 300 {
      isAccepted = true
      acceptedAt = .now
      onAccepted()
    }
  }

  /// The next piece of the mail.
  func take(into buffer: UnsafeMutableRawBufferPointer) -> Int {
    let count = min(buffer.count, message.count - position)
    buffer.copyBytes(from: message[position..<position + count])
    position += count
    if position == message.count { isMessageRead = true }
    return count
  }

  var mustEnd: Bool {
    if let acceptedAt { return acceptedAt.duration(to: .now) > Self.farewellTime }
    return isUnwanted()
  }

  func mayConnect(to address: String) -> Bool {
    guard let reason = refusal(address) else { return true }
    refusedTarget = "\(address) is \(reason)"
    return false
  }
}
