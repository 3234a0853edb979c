// How people are told how tasks ended, and by which mail server mails are sent: the settings of `notifications`.

internal import Foundation
package import MartletCore
package import MartletEvents

extension Settings {
  /// How people are told how tasks ended.
  public struct Notifications: Sendable, Hashable {
    /// Who is told of tasks that do not say it themselves, nor their type.
    public var type: NotificationType
    /// Of which endings they are told: `SUCCESS`, `DEAD`, `CANCELLED`.
    public var on: [String]
    /// Webhooks.
    public var webhook: Webhook
    /// Mails.
    public var email: Email
    /// The mail server; without its host no mail is sent.
    public var smtp: SMTP

    public init(
      type: NotificationType = .none, on: [String] = ["SUCCESS", "DEAD"], webhook: Webhook = Webhook(),
      email: Email = Email(), smtp: SMTP = SMTP()
    ) {
      self.type = type
      self.on = on
      self.webhook = webhook
      self.email = email
      self.smtp = smtp
    }
  }

  /// Who is told of tasks that do not say it themselves.
  public enum NotificationType: String, CaseIterable, Sendable, Hashable {
    /// The receiver at `notifications.webhook.url`.
    case webhook
    /// Those of `notifications.email.to`.
    case email
    /// Nobody.
    case none
  }

  /// Webhooks (https://www.standardwebhooks.com).
  public struct Webhook: Sendable, Hashable {
    /// The receiver where nobody else is named.
    public var url: String?
    /// `whsec_…` each: all of them sign every webhook, so that one can take another's place. Secret.
    public var secret: [String]

    public init(url: String? = nil, secret: [String] = []) {
      self.url = url
      self.secret = secret
    }
  }

  /// Mails.
  public struct Email: Sendable, Hashable {
    /// Who sends where a mail does not say so: `martlet@example.com` or `Martlet <martlet@example.com>`.
    public var from: String?
    /// The receivers where nobody else is named.
    public var to: [String]
    /// A folder with texts of one's own: `subject.txt`, `text.txt`, `html.html`, each of which may be missing.
    public var templates: String?

    public init(from: String? = nil, to: [String] = [], templates: String? = nil) {
      self.from = from
      self.to = to
      self.templates = templates
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
    /// A file (PEM) of certificates to trust instead of the system's.
    public var ca: String?

    public init(
      host: String? = nil, port: Int? = nil, user: String? = nil, password: String? = nil, tls: Security = .starttls,
      ca: String? = nil
    ) {
      self.ca = ca
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
      host: host, port: smtp.port, user: smtp.user, password: smtp.password, tls: tls, from: email.from ?? "",
      caFile: smtp.ca)
  }
}

extension Settings.Notifications {
  /// Who is told of tasks that do not say it themselves, nor their type.
  package var defaultTargets: [NoticeTarget] {
    let endings = Set(on.compactMap { TaskStatus(wireName: $0) })
    return switch type {
    case .none: []
    case .webhook: webhook.url.map { [NoticeTarget(.webhook($0), on: endings)] } ?? []
    case .email: email.to.map { NoticeTarget(.email($0), on: endings) }
    }
  }
}

extension Settings.Email {
  /// Those of the folder; the built-in ones where it has none.
  func mailTemplates() throws(TemplateProblems) -> MailTemplates {
    guard let templates else { return try MailTemplates() }
    func text(_ name: String) throws(TemplateProblems) -> String? {
      let file = URL(fileURLWithPath: templates).appendingPathComponent(name)
      guard FileManager.default.fileExists(atPath: file.path) else { return nil }
      do {
        return try String(contentsOf: file, encoding: .utf8)
      } catch {
        throw TemplateProblems(["\(file.path) cannot be read as UTF-8"])
      }
    }
    guard FileManager.default.fileExists(atPath: templates) else { throw TemplateProblems(["there is no such folder"]) }
    return try MailTemplates(
      subject: try text("subject.txt").map { $0.trimmingCharacters(in: .newlines) }, text: try text("text.txt"),
      html: try text("html.html"))
  }
}

extension Settings {
  /// What no setting of notices can say by itself.
  static func noticeComplaints(_ settings: Settings) -> [(key: String, Complaint)] {
    let notifications = settings.notifications
    var complaints: [(key: String, Complaint)] = []
    func complain(_ key: String, _ detail: String) { complaints.append((key, Complaint(detail))) }
    for secret in notifications.webhook.secret {
      do throws(WebhookProblem) { _ = try WebhookSecret(secret) } catch {
        complain("notifications.webhook.secret", error.reason)
      }
    }
    if let url = notifications.webhook.url, let problem = NoticePost.problem(with: NoticeTarget(.webhook(url))) {
      complain("notifications.webhook.url", problem)
    }
    for address in notifications.email.to {
      if let problem = NoticePost.problem(with: NoticeTarget(.email(address))) {
        complain("notifications.email.to", problem)
      }
    }
    let endings = notifications.on.map { TaskStatus(wireName: $0)?.isFinal == true }
    if endings.isEmpty || endings.contains(false) {
      complain("notifications.on", "must name one or more of SUCCESS, DEAD, CANCELLED")
    }
    switch notifications.type {
    case .none: break
    case .webhook:
      if notifications.webhook.url == nil {
        complain("notifications.webhook.url", "is missing: notifications.type webhook needs a receiver")
      }
    case .email:
      if notifications.email.to.isEmpty {
        complain("notifications.email.to", "is missing: notifications.type email needs a receiver")
      }
      if notifications.smtp.host == nil {
        complain("notifications.smtp.host", "is missing: notifications.type email needs a mail server")
      }
    }
    do throws(TemplateProblems) { _ = try notifications.email.mailTemplates() } catch {
      complain("notifications.email.templates", error.lines.joined(separator: "; "))
    }
    return complaints
  }

  /// What no setting of the mail server can say by itself.
  static func mailComplaints(_ settings: Settings) -> [(key: String, Complaint)] {
    guard let mail = settings.notifications.mail else {
      let smtp = settings.notifications.smtp
      let isHalf = smtp.port != nil || smtp.user != nil || smtp.password != nil || smtp.ca != nil
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
  static let notices: [Setting] = [
    Setting(
      "notifications.type", \.notifications.type, .choice, alias: "NOTIFICATION_TYPE",
      "Who is told how tasks ended that say it neither themselves nor by their type or queue: `webhook`, `email` or nobody."
    ),
    Setting(
      "notifications.on", \.notifications.on, .list("list of `SUCCESS`, `DEAD`, `CANCELLED`") { _ in nil },
      "Of which endings they are told."),
    Setting(
      "notifications.webhook.url", \.notifications.webhook.url, .optionalText("`https://…`"),
      "The receiver of `notifications.type` `webhook`."),
    Setting(
      "notifications.webhook.secret", \.notifications.webhook.secret, .list("list of `whsec_…`") { _ in nil },
      isSecret: true,
      "Signs all webhooks of notices (Standard Webhooks). While one takes another's place both are named, the new one first."
    ),
    Setting(
      "notifications.email.to", \.notifications.email.to, .list("list of addresses") { _ in nil },
      "The receivers of `notifications.type` `email`."),
    Setting(
      "notifications.email.templates", \.notifications.email.templates, .optionalText("folder"),
      "A folder with `subject.txt`, `text.txt` and `html.html` for mails of notices; what is missing is the built-in one."
    ),
  ]

  static let mail: [Setting] = [
    Setting(
      "notifications.smtp.host", \.notifications.smtp.host, .optionalText("name or address"),
      "The mail server by which notices and `SEND_EMAIL` send. Without it, `SEND_EMAIL` only logs, and notices by mail wait for a node that has one."
    ),
    Setting(
      "notifications.smtp.port", \.notifications.smtp.port, .optionalWhole(1...65_535),
      "Its port. By default 587, with `implicit` 465, with `none` 25."),
    Setting(
      "notifications.smtp.user", \.notifications.smtp.user, .optionalText("text"),
      "Whom to log in as; without it, nobody."),
    Setting(
      "notifications.smtp.password", \.notifications.smtp.password, .optionalText("text"), isSecret: true,
      "The password of the login."),
    Setting(
      "notifications.smtp.tls", \.notifications.smtp.tls, .choice,
      "`starttls` asks for TLS before anything is said, `implicit` begins with it, `none` goes without; then no login either, but on loopback."
    ),
    Setting(
      "notifications.smtp.ca", \.notifications.smtp.ca, .optionalText("file"),
      "Certificates (PEM) to trust instead of the system's."),
    Setting(
      "notifications.email.from", \.notifications.email.from, .optionalText("address"),
      "Who sends where a mail does not say so: `Martlet <martlet@example.com>`."),
  ]
}
