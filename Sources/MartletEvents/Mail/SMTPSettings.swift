// Which mail server, as whom, and how safely. The composition root fills it from `notifications.smtp.*` and tells its problems at
// the start; `SMTPClient` works by it.

internal import Foundation

package struct SMTPSettings: Sendable, Hashable {
  package enum Security: String, CaseIterable, Sendable {
    /// In the clear.
    case none
    /// Begins in the clear and changes to TLS before anything is said; a server that cannot is not used.
    case starttls
    /// TLS from the first byte.
    case implicit
  }

  package var host: String
  package var port: Int
  package var user: String?
  package var password: String?
  package var tls: Security
  /// Who sends where a mail does not say so: `martlet@example.com` or `Martlet <martlet@example.com>`.
  package var from: String
  /// A file (PEM) of certificates to trust instead of the system's.
  package var caFile: String?
  /// For one mail to one recipient or several, from the call to the server's answer.
  package var timeout: Duration

  /// - Parameter port: nil for the usual one: 587, with implicit TLS 465, without TLS 25.
  package init(
    host: String, port: Int? = nil, user: String? = nil, password: String? = nil, tls: Security = .starttls,
    from: String,
    caFile: String? = nil, timeout: Duration = .seconds(30)
  ) {
    self.host = host
    self.port = port ?? Self.usualPort(tls)
    self.user = user
    self.password = password
    self.tls = tls
    self.from = from
    self.caFile = caFile
    self.timeout = timeout
  }

  package static func usualPort(_ tls: Security) -> Int {
    switch tls {
    case .none: 25
    case .starttls: 587
    case .implicit: 465
    }
  }

  /// One thing wrong: the setting's name here, and the rest of a sentence about it. Never the password.
  package struct Problem: Sendable, Hashable, CustomStringConvertible {
    package let setting: String
    package let detail: String

    package var description: String { "\(setting): \(detail)" }
  }

  /// All that is wrong, none if it can be used. Looks for the file of certificates.
  package var problems: [Problem] {
    var problems: [Problem] = []
    func demand(_ isRight: Bool, _ setting: String, _ detail: String) {
      if !isRight { problems.append(Problem(setting: setting, detail: detail)) }
    }
    demand(Self.isHost(host), "host", "must be a name or an address, such as smtp.example.com, without scheme and port")
    demand((1...65_535).contains(port), "port", "must be 1 to 65535")
    demand(user != "", "user", "must not be empty")
    demand(password == nil || user != nil, "user", "must be set where a password is")
    demand(user == nil || password != nil, "password", "must be set where a user is")
    demand(!Self.hasControls(user), "user", "must not hold control characters")
    demand(!Self.hasControls(password), "password", "must not hold control characters")
    demand(
      user == nil || tls != .none || isLoopback, "tls",
      "must be starttls or implicit where a user is set: the password would cross the network in the clear")
    do {
      _ = try MailAddress(from)
    } catch {
      demand(false, "from", error.reason)
    }
    if let caFile {
      demand(
        FileManager.default.isReadableFile(atPath: caFile), "ca",
        "must be a file that can be read, and \(caFile) is none")
    }
    demand(timeout >= .seconds(1) && timeout <= .seconds(600), "timeout", "must be 1 to 600 seconds")
    return problems
  }

  /// `smtps://` or `smtp://` with host and port.
  package var url: String {
    let shown = host.contains(":") ? "[\(host)]" : host
    return "\(tls == .implicit ? "smtps" : "smtp")://\(shown):\(port)"
  }

  private var isLoopback: Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }

  private static func isHost(_ text: String) -> Bool {
    (1...253).contains(text.utf8.count) && !text.hasPrefix("-")
      && text.utf8.allSatisfy { isLetterOrDigit($0) || ".-_:".utf8.contains($0) }
      && (!text.contains(":") || text.utf8.allSatisfy { isLetterOrDigit($0) || ".:".utf8.contains($0) })
  }

  private static func hasControls(_ text: String?) -> Bool {
    text?.unicodeScalars.contains { $0.properties.generalCategory == .control } ?? false
  }
}

/// Logs and errors show settings, and must not show the password.
extension SMTPSettings: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  package var description: String { "\(url) (\(user.map { "as \($0), " } ?? "")\(tls.rawValue))" }
  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: ["url": url, "tls": tls.rawValue]) }
}

func isLetterOrDigit(_ byte: UInt8) -> Bool {
  switch byte {
  case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
    UInt8(ascii: "a")...UInt8(ascii: "z"):
    true
  default: false
  }
}
