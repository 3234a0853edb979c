// Sends the mails of `SEND_EMAIL`, if a mail server is configured.

internal import MartletCore
internal import MartletEngine
internal import MartletEvents

struct Mailer: Sendable {
  private let client: SMTPClient
  let from: MailAddress

  init(_ settings: SMTPSettings) throws(MailProblem) {
    from = try MailAddress(settings.from)
    client = SMTPClient(settings)
  }

  /// Returns when the server has it.
  /// - Throws: `TaskFailure`: permanent where the server refuses it for good, else to be retried.
  func send(_ message: MailMessage) async throws {
    let outcome = await client.send(message)
    switch outcome {
    case .sent: return
    case .temporary(let line):
      try Task.checkCancellation()
      throw TaskFailure.retry(line, type: "MAIL_NOT_SENT")
    case .permanent(let line): throw TaskFailure.permanent(line, type: "MAIL_REFUSED")
    }
  }
}

/// The two forms of a mail's content: what begins with a tag is HTML, and its text is what stands between the tags.
struct MailContent: Sendable, Hashable {
  let text: String
  let html: String?

  init(_ content: String) {
    guard content.first(where: { !$0.isWhitespace }) == "<" else {
      text = content
      html = nil
      return
    }
    html = content
    text = Self.text(of: content)
  }

  private static func text(of html: String) -> String {
    var text = ""
    var isTag = false
    for character in html {
      switch character {
      case "<":
        isTag = true
        text += " "
      case ">" where isTag: isTag = false
      default: if !isTag { text.append(character) }
      }
    }
    let entities = [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
    for (name, character) in entities { text.replace(name, with: character) }
    return text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }
}
