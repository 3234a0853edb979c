// SEND_EMAIL, also called email: an example of a handler with an outside effect. This version has no mail server to talk to, so
// it logs the mail and says `simulated`.

internal import Logging
internal import MartletCore
internal import MartletEngine

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

  func problems(in payload: Payload) -> [ValidationProblem] {
    var problems = Problems()
    for (address, pointer) in [(payload.to, "/to"), (payload.from, "/from")] {
      if let address, !Self.looksLikeAnAddress(address) {
        problems.add(pointer, "must be an email address, such as user@example.com")
      }
    }
    // A line end in here would begin a header of the sender's choice. 998 is what a line may hold (RFC 5322 §2.1.1).
    problems.checkText(payload.subject, lengths: 1...998, at: "/subject")
    return problems.all
  }

  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
    let sent = Sent(simulated: true, messageId: "<\(context.taskID)@martlet>")
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
