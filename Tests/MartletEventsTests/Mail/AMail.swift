// A mail, and a server to send it to, for tests of both.

import Foundation
import MailServer
import MartletCore

@testable import MartletEvents

func aMail(
  from: String = "Martlet <martlet@example.com>", to: [String] = ["ops@example.com"], subject: String = "Hello",
  text: String = "Hello", html: String? = nil, messageID: String = "<1.7@martlet>", headers: [MailMessage.Header] = []
) throws -> MailMessage {
  try MailMessage(
    from: MailAddress(from), to: to.map { try MailAddress($0) }, subject: subject, text: text, html: html,
    messageID: messageID, date: Timestamp(milliseconds: 1_769_940_000_999), headers: headers)
}

extension MailServer {
  func settings(
    tls: SMTPSettings.Security = .none, host: String = "127.0.0.1", user: String? = nil, password: String? = nil,
    trusting: Bool = true, timeout: Duration = .seconds(60)
  ) -> SMTPSettings {
    SMTPSettings(
      host: host, port: port, user: user, password: password, tls: tls, from: "martlet@example.com",
      caFile: tls != .none && trusting ? certificate.path : nil, timeout: timeout)
  }
}

extension MailOutcome {
  /// Nil for a mail that was sent.
  var line: String? {
    switch self {
    case .sent: nil
    case .temporary(let line), .permanent(let line): line
    }
  }

  var isTemporary: Bool { if case .temporary = self { true } else { false } }
  var isPermanent: Bool { if case .permanent = self { true } else { false } }
}
