// SEND_EMAIL, also called email: sends a mail by the configured mail server. Without one it logs the mail and says `simulated`.

internal import Logging
internal import MartletCore
internal import MartletEngine
internal import MartletEvents

struct SendEmail: TaskHandler {
  struct Payload: Codable, Sendable {
    var to: String
    var subject: String
    var content: String?
    var from: String?
  }

  struct Sent: Codable, Sendable {
    var simulated: Bool
    /// The same over all attempts, so that a mail server could tell a repetition.
    var messageId: String
  }

  static let type = "SEND_EMAIL"
  static let types = [type, "email"]

  private let live: Live<Mailer?>

  init(_ mailer: Live<Mailer?>) {
    live = mailer
  }

  init(mailer: Mailer? = nil) {
    self.init(Live(mailer))
  }

  private var mailer: Mailer? { live.current }

  func problems(in payload: Payload) -> [ValidationProblem] {
    var problems = Problems()
    for (address, pointer) in [(payload.to, "/to"), (payload.from, "/from")] {
      guard let address else { continue }
      if !Self.looksLikeAnAddress(address) {
        problems.add(pointer, "must be an email address, such as user@example.com")
      } else if mailer != nil {
        do throws(MailProblem) { _ = try MailAddress(address) } catch { problems.add(pointer, error.reason) }
      }
    }
    // A line end in here would begin a header of the sender's choice. 998 is what a line may hold (RFC 5322 §2.1.1).
    problems.checkText(payload.subject, lengths: 1...998, at: "/subject")
    return problems.all
  }

  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
    let messageID = "<\(context.taskID)@martlet>"
    guard let mailer else { return try simulate(payload, Sent(simulated: true, messageId: messageID), context) }
    try await mailer.send(try message(payload, from: mailer.from, messageID, context))
    context.logger.info("mail to \(payload.to) sent", metadata: ["message_id": "\(messageID)"])
    return try .success(Sent(simulated: false, messageId: messageID))
  }

  private func message(
    _ payload: Payload, from: MailAddress, _ id: String, _ context: AttemptContext
  ) throws -> MailMessage {
    do {
      let content = MailContent(payload.content ?? "")
      return try MailMessage(
        from: try payload.from.map { try MailAddress($0) } ?? from, to: [try MailAddress(payload.to)],
        subject: payload.subject, text: content.text, html: content.html, messageID: id, date: context.startedAt)
    } catch let problem as MailProblem {
      throw TaskFailure.permanent(problem.reason, type: "MAIL_REFUSED")
    }
  }

  private func simulate(_ payload: Payload, _ sent: Sent, _ context: AttemptContext) throws -> TaskResult {
    context.logger.info(
      "mail to \(payload.to): \(payload.subject)",
      metadata: ["from": "\(payload.from ?? "-")", "message_id": "\(sent.messageId)", "simulated": "true"])
    if let content = payload.content { context.log(String(content.prefix(1000))) }
    return try .success(sent)
  }

  /// `user@example.com` or `Name <user@example.com>`. Whether it exists, only sending can tell.
  static func looksLikeAnAddress(_ text: String) -> Bool {
    guard text.utf8.count <= 998, !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
    else { return false }
    var address = text[...]
    if text.hasSuffix(">"), let bracket = text.lastIndex(of: "<") {
      address = text[text.index(after: bracket)...].dropLast()
    }
    guard let at = address.lastIndex(of: "@") else { return false }
    let (local, domain) = (address[..<at], address[address.index(after: at)...])
    let labels = domain.split(separator: ".", omittingEmptySubsequences: false)
    return (1...64).contains(local.utf8.count) && domain.utf8.count <= 253 && !labels.contains("")
      && !local.contains { $0.isWhitespace || "<>,;@".contains($0) }
      && domain.allSatisfy { $0.isLetter || $0.isNumber || $0 == "." || $0 == "-" }
  }
}
