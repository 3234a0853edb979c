// A mail as it goes over the wire (RFC 5322 and 2045): ASCII, lines of at most 78 bytes, ended by CR LF. Only `SMTPClient` asks.

internal import MartletCore

extension MailMessage {
  /// Headers and body. Dots at the beginning of lines are encoded, so that the protocol's own doubling of them meets none.
  package var wire: [UInt8] {
    var lines = [
      "From: " + HeaderText.mailbox(from, after: "From: ".utf8.count),
      "To: " + to.map { HeaderText.mailbox($0, after: "To: ".utf8.count) }.joined(separator: ",\r\n "),
      HeaderText.line("Subject", subject),
      "Date: " + mailDate(date),
      "Message-ID: " + messageID,
      "MIME-Version: 1.0",
    ]
    lines += headers.map { HeaderText.line($0.name, $0.value) }
    if let html {
      lines += ["Content-Type: multipart/alternative; boundary=\"\(Self.boundary)\"", ""]
      lines += ["--\(Self.boundary)"] + Self.part(text, type: "text/plain") + [""]
      lines += ["--\(Self.boundary)"] + Self.part(html, type: "text/html") + [""]
      lines.append("--\(Self.boundary)--")
    } else {
      lines += Self.part(text, type: "text/plain")
    }
    return Array(lines.map { $0 + "\r\n" }.joined().utf8)
  }

  /// Quoted-printable text has no `=_` in it (RFC 2045 §6.7), so this stands in no part.
  private static let boundary = "=_martlet"

  /// Its last line has an end, whether or not the text's has.
  private static func part(_ text: String, type: String) -> [String] {
    let body = quotedPrintable(text)
    return [
      "Content-Type: \(type); charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "",
      body.hasSuffix("\r\n") ? String(body.dropLast()) : body,  // one character, as Swift counts
    ]
  }
}

/// RFC 5322 §3.3, in UTC: `Sun, 01 Feb 2026 10:00:00 +0000`.
func mailDate(_ time: Timestamp) -> String {
  let text = min(max(time, .earliest), .latest).description  // 2026-02-01T10:00:00.000Z
  let parts = text.split { "-T.".contains($0) }
  let days = time.milliseconds / 86_400_000 - (time.milliseconds % 86_400_000 < 0 ? 1 : 0)
  // 1970-01-01 was a Thursday.
  let weekday = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][Int((days % 7 + 11) % 7)]
  let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
  let month = Int(parts[1]).map { months[$0 - 1] } ?? "Jan"
  return "\(weekday), \(parts[2]) \(month) \(parts[0]) \(parts[3]) +0000"
}
