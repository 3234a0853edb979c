// What settings of a mail server can be used, and that no text shows the password.

import MartletCore
import Testing

@testable import MartletEvents

@Suite struct SMTPSettingsTests {
  @Test func `STARTTLS on its usual port is the default`() {
    let settings = SMTPSettings(host: "smtp.example.com", from: "martlet@example.com")
    #expect(settings.tls == .starttls && settings.port == 587 && settings.problems == [])
    #expect(settings.url == "smtp://smtp.example.com:587")
    #expect(SMTPSettings(host: "::1", tls: .implicit, from: "a@b").url == "smtps://[::1]:465")
    #expect(SMTPSettings(host: "h", tls: .none, from: "a@b").port == 25)
  }

  @Test func `every problem is told with the setting's name`() {
    let settings = SMTPSettings(
      host: "smtp://x", port: 0, user: "", password: "a\r\nb", tls: .none, from: "nobody", caFile: "/nowhere/ca.pem",
      timeout: .zero)
    #expect(settings.problems.map(\.setting) == ["host", "port", "user", "password", "tls", "from", "ca", "timeout"])
    #expect(settings.problems.allSatisfy { !$0.description.contains("\n") })
  }

  @Test func `a user needs a password and a password a user`() {
    #expect(SMTPSettings(host: "h", user: "u", from: "a@b").problems.map(\.setting) == ["password"])
    #expect(SMTPSettings(host: "h", password: "p", from: "a@b").problems.map(\.setting) == ["user"])
  }

  @Test(arguments: ["localhost", "127.0.0.1", "::1"])
  func `in the clear a password goes to this very machine only`(_ host: String) {
    #expect(SMTPSettings(host: host, user: "u", password: "p", tls: .none, from: "a@b").problems == [])
    let far = SMTPSettings(host: "mail.example.com", user: "u", password: "p", tls: .none, from: "a@b")
    #expect(far.problems.map(\.setting) == ["tls"])
  }

  @Test(arguments: ["", "a b", "-x", "a/b", "a@b", "h\r\nx", "http://h", "é"])
  func `a host that is none is refused`(_ host: String) {
    #expect(SMTPSettings(host: host, from: "a@b").problems.map(\.setting) == ["host"])
  }

  @Test func `the password is never shown`() {
    let settings = SMTPSettings(host: "h", user: "u", password: "sesame", tls: .none, from: "x")
    var dumped = ""
    dump(settings, to: &dumped)
    for text in ["\(settings)", String(reflecting: settings), "\([settings])", dumped, "\(settings.problems)"] {
      #expect(!text.contains("sesame"))
    }
  }
}
