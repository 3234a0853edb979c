// SEND_EMAIL with a mail server, up to the message; that mails arrive is tested end to end.

import MartletCore
import Testing

@testable import Martlet
@testable import MartletEngine

@Suite("Mails that are sent")
struct MailerTests {
  private static var settings: Settings {
    var settings = Settings()
    settings.notifications.smtp.host = "127.0.0.1"
    settings.notifications.smtp.port = 9  // nobody is asked in these tests
    settings.notifications.email.from = "Martlet <martlet@example.com>"
    return settings
  }

  @Test("are checked by what the mail server takes, when they are submitted")
  func problems() throws {
    let handler = SendEmail(mailer: try Mailer(try #require(Self.settings.notifications.mail)))
    #expect(handler.problems(in: .init(to: "user@example.com", subject: "s")) == [])
    #expect(handler.problems(in: .init(to: "user@bücher.example", subject: "s")).map(\.pointer) == ["/to"])
    #expect(SendEmail().problems(in: .init(to: "user@bücher.example", subject: "s")) == [])
  }

  @Test("are HTML with a text beside it where they begin with a tag")
  func content() {
    #expect(MailContent("Hello\nworld") == MailContent("Hello\nworld"))
    #expect(MailContent("a < b").html == nil)
    #expect(MailContent("a < b").text == "a < b")
    let mail = MailContent(" <h1>Hello &amp; welcome</h1><p>1 &lt; 2</p>")
    #expect(mail.html == " <h1>Hello &amp; welcome</h1><p>1 &lt; 2</p>")
    #expect(mail.text == "Hello & welcome 1 < 2")
  }

  @Test("need a sender, and a host for whatever else is set")
  func complaints() {
    var settings = Self.settings
    #expect(Settings.mailComplaints(settings).isEmpty)
    settings.notifications.email.from = nil
    #expect(Settings.mailComplaints(settings).map(\.key) == ["notifications.email.from"])
    settings.notifications.email.from = "nobody"
    #expect(Settings.mailComplaints(settings).map(\.key) == ["notifications.email.from"])
    settings = Self.settings
    settings.notifications.smtp.host = nil
    #expect(Settings.mailComplaints(settings).map(\.key) == ["notifications.smtp.host"])
    settings = Self.settings
    settings.notifications.smtp.host = "mail.example.com"
    settings.notifications.smtp.tls = .none
    settings.notifications.smtp.user = "u"
    settings.notifications.smtp.password = "p"
    #expect(Settings.mailComplaints(settings).map(\.key) == ["notifications.smtp.tls"])
  }
}
