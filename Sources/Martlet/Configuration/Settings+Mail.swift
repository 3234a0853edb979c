// By which mail server mails are sent: the settings of `notifications.smtp` and `notifications.email`.

package import MartletEvents

extension Settings {
  /// How people are told. In this version only what `SEND_EMAIL` needs.
  public struct Notifications: Sendable, Hashable {
    /// Mails.
    public var email: Email
    /// The mail server; without its host no mail is sent.
    public var smtp: SMTP

    public init(email: Email = Email(), smtp: SMTP = SMTP()) {
      self.email = email
      self.smtp = smtp
    }
  }

  /// Mails.
  public struct Email: Sendable, Hashable {
    /// Who sends where a mail does not say so: `martlet@example.com` or `Martlet <martlet@example.com>`.
    public var from: String?

    public init(from: String? = nil) {
      self.from = from
    }
  }

  /// A mail server (RFC 5321).
  public struct SMTP: Sendable, Hashable {
    /// A name or an address; nil: mails are logged and not sent.
    public var host: String?
    /// Nil is the usual one: 587, with implicit TLS 465, without TLS 25.
    public var port: Int?
    /// For those that ask for a login.
    public var user: String?
    /// Secret.
    public var password: String?
    /// How the connection is protected.
    public var tls: Security

    public init(
      host: String? = nil, port: Int? = nil, user: String? = nil, password: String? = nil, tls: Security = .starttls
    ) {
      self.host = host
      self.port = port
      self.user = user
      self.password = password
      self.tls = tls
    }

    /// How the connection is protected.
    public enum Security: String, CaseIterable, Sendable, Hashable {
      /// Not at all.
      case none
      /// By TLS before anything is said (RFC 3207); a server that cannot is not used.
      case starttls
      /// By TLS from the first byte (RFC 8314).
      case implicit
    }
  }
}

extension Settings.Notifications {
  /// Nil where no mail server is configured.
  package var mail: SMTPSettings? {
    guard let host = smtp.host else { return nil }
    let tls: SMTPSettings.Security =
      switch smtp.tls {
      case .none: .none
      case .starttls: .starttls
      case .implicit: .implicit
      }
    return SMTPSettings(
      host: host, port: smtp.port, user: smtp.user, password: smtp.password, tls: tls, from: email.from ?? "")
  }
}

extension Settings {
  /// What no setting of the mail server can say by itself.
  static func mailComplaints(_ settings: Settings) -> [(key: String, Complaint)] {
    guard let mail = settings.notifications.mail else {
      let smtp = settings.notifications.smtp
      let isHalf = smtp.port != nil || smtp.user != nil || smtp.password != nil
      return isHalf ? [("notifications.smtp.host", "is missing: the other settings of notifications.smtp need it")] : []
    }
    if settings.notifications.email.from == nil {
      return [("notifications.email.from", "is missing: notifications.smtp.host needs a sender")]
    }
    return mail.problems.map { problem in
      (
        problem.setting == "from" ? "notifications.email.from" : "notifications.smtp.\(problem.setting)",
        Complaint(problem.detail)
      )
    }
  }
}

extension Setting {
  static let mail: [Setting] = [
    Setting(
      "notifications.smtp.host", \.notifications.smtp.host, .optionalText("name or address"), needsRestart: true,
      "The mail server by which `SEND_EMAIL` sends. Without it, mails are only logged."),
    Setting(
      "notifications.smtp.port", \.notifications.smtp.port, .optionalWhole(1...65_535), needsRestart: true,
      "Its port. By default 587, with `implicit` 465, with `none` 25."),
    Setting(
      "notifications.smtp.user", \.notifications.smtp.user, .optionalText("text"), needsRestart: true,
      "Whom to log in as; without it, nobody."),
    Setting(
      "notifications.smtp.password", \.notifications.smtp.password, .optionalText("text"), isSecret: true,
      needsRestart: true, "The password of the login."),
    Setting(
      "notifications.smtp.tls", \.notifications.smtp.tls, .choice, needsRestart: true,
      "`starttls` asks for TLS before anything is said, `implicit` begins with it, `none` goes without; then no login either, but on loopback."
    ),
    Setting(
      "notifications.email.from", \.notifications.email.from, .optionalText("address"), needsRestart: true,
      "Who sends where a mail does not say so: `Martlet <martlet@example.com>`."),
  ]
}
