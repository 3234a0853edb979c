// The client against a real mail server: whom it trusts, what it makes of each answer, and that it always comes back.

import MailServer
import MartletCore
import Synchronization
import Testing

@testable import MartletEvents

@Suite struct SMTPClientTests {
  private func send(_ mail: MailMessage, _ settings: SMTPSettings) async -> MailOutcome {
    #expect(settings.problems == [])
    let outcome = await SMTPClient(settings).send(mail)
    if let line = outcome.line {
      #expect(line.hasPrefix(settings.url) && !line.unicodeScalars.contains(where: isControl) && line.utf8.count < 600)
      #expect(!line.contains(settings.password ?? "sesame"))
    }
    return outcome
  }

  // MARK: TLS

  @Test func `STARTTLS is used where it is asked for`() async throws {
    let server = try await MailServer.start(tls: .starttls)
    #expect(await send(try aMail(), server.settings(tls: .starttls)) == .sent)
    #expect(try server.mails.map(\.envelope.isSecure) == [true])
  }

  @Test func `a server without STARTTLS gets nothing, and may have it later`() async throws {
    let server = try await MailServer.start(login: "user:sesame")
    let outcome = await send(
      try aMail(), server.settings(tls: .starttls, user: "user", password: "sesame", trusting: false))
    #expect(
      outcome
        == .temporary(
          "smtp://127.0.0.1:\(server.port): the server does not offer STARTTLS, and without it nothing is sent"))
    #expect(try server.mails.isEmpty)
  }

  @Test func `a server that insists on STARTTLS is told so in a line`() async throws {
    let server = try await MailServer.start(tls: .starttls)
    let outcome = await send(try aMail(), server.settings())
    #expect(outcome.isPermanent && outcome.line?.contains("530 Must issue a STARTTLS command first") == true)
  }

  @Test func `implicit TLS is used where it is asked for`() async throws {
    let server = try await MailServer.start(tls: .implicit)
    #expect(await send(try aMail(), server.settings(tls: .implicit, host: "localhost")) == .sent)
    #expect(try server.mails.map(\.envelope.isSecure) == [true])
  }

  @Test(arguments: [(MailServer.Security.starttls, SMTPSettings.Security.starttls), (.implicit, .implicit)])
  func `a certificate that nobody vouches for is not trusted`(
    _ tls: MailServer.Security, _ ours: SMTPSettings.Security
  ) async throws {
    let server = try await MailServer.start(tls: tls, login: "user:sesame")
    let outcome = await send(
      try aMail(), server.settings(tls: ours, user: "user", password: "sesame", trusting: false))
    #expect(outcome.isTemporary && outcome.line?.contains("the server's certificate is not trusted") == true)
    #expect(try server.mails.isEmpty)
  }

  @Test func `a certificate for somebody else is not trusted`() async throws {
    let server = try await MailServer.start(tls: .implicit, name: "mail.example.com")
    let outcome = await send(try aMail(), server.settings(tls: .implicit))
    #expect(outcome.isTemporary && outcome.line?.contains("the server's certificate is not trusted") == true)
  }

  @Test func `TLS with a server that has none is a failure in a line`() async throws {
    let server = try await MailServer.start()
    let outcome = await send(try aMail(), server.settings(tls: .implicit, trusting: false, timeout: .seconds(5)))
    #expect(outcome.isTemporary && outcome.line != nil)
  }

  // MARK: Login

  @Test(arguments: [
    (MailServer.Security.none, SMTPSettings.Security.none), (.starttls, .starttls), (.implicit, .implicit),
  ])
  func `the right password opens the door`(_ tls: MailServer.Security, _ ours: SMTPSettings.Security) async throws {
    let server = try await MailServer.start(tls: tls, login: "us er:se$s \"amé")
    let settings = server.settings(tls: ours, user: "us er", password: "se$s \"amé")
    #expect(await send(try aMail(), settings) == .sent)
    #expect(try server.mails.map(\.envelope.login) == ["us er"])
  }

  @Test func `a wrong password is wrong for ever`() async throws {
    let server = try await MailServer.start(tls: .starttls, login: "user:sesame")
    let outcome = await send(try aMail(), server.settings(tls: .starttls, user: "user", password: "guess-4711"))
    #expect(outcome.isPermanent && outcome.line?.contains("the login as \"user\" with 535") == true)
    #expect(try server.mails.isEmpty)
  }

  @Test func `a login that is refused for the moment is tried again`() async throws {
    let server = try await MailServer.start(login: "user:sesame", loginAnswer: "454 4.7.0 the directory is away")
    let outcome = await send(try aMail(), server.settings(user: "user", password: "sesame"))
    #expect(outcome.isTemporary && outcome.line?.contains("454 4.7.0 the directory is away") == true)
  }

  @Test func `a server that wants a login gets none where none is set`() async throws {
    let server = try await MailServer.start(login: "user:sesame")
    let outcome = await send(try aMail(), server.settings())
    #expect(outcome.isPermanent && outcome.line?.contains("530") == true)
  }

  // MARK: Answers

  @Test(arguments: [("rcpt-421", true), ("rcpt-451", true), ("rcpt-535", false), ("rcpt-550", false)])
  func `a refused recipient is temporary by 4 and permanent by 5`(_ name: String, _ isTemporary: Bool) async throws {
    let server = try await MailServer.start()
    let outcome = await send(try aMail(to: ["\(name)@example.com"]), server.settings())
    let line =
      "smtp://127.0.0.1:\(server.port) answered the recipient \(name)@example.com with \(name.suffix(3)) 5.1.1 scripted for the recipient"
    #expect(outcome == (isTemporary ? .temporary(line) : .permanent(line)))
    #expect(try server.mails.isEmpty)
  }

  @Test(arguments: [("data-421", true), ("data-451", true), ("data-550", false), ("data-554", false)])
  func `a refused mail is temporary by 4 and permanent by 5`(_ name: String, _ isTemporary: Bool) async throws {
    let server = try await MailServer.start()
    let outcome = await send(try aMail(to: ["\(name)@example.com"]), server.settings())
    let line = "smtp://127.0.0.1:\(server.port) answered the mail with \(name.suffix(3)) scripted for the mail"
    #expect(outcome == (isTemporary ? .temporary(line) : .permanent(line)))
  }

  @Test func `all recipients get one mail`() async throws {
    let server = try await MailServer.start()
    #expect(await send(try aMail(to: ["a@x.example", "B <b@x.example>", "c@x.example"]), server.settings()) == .sent)
    #expect(try server.mails.map(\.envelope.to) == [["a@x.example", "b@x.example", "c@x.example"]])
  }

  @Test func `one recipient who is refused for good does not keep the mail from the others`() async throws {
    let server = try await MailServer.start()
    let outcome = await send(
      try aMail(to: ["rcpt-550@x.example", "a@x.example", "rcpt-553@x.example", "b@x.example"]), server.settings())
    #expect(outcome.isPermanent)
    let line = try #require(outcome.line)
    #expect(line.contains("rcpt-550@x.example with 550") && line.contains("rcpt-553@x.example with 553"))
    #expect(line.hasSuffix("; the other recipients have the mail"))
    let mails = try server.mails
    #expect(mails.map(\.envelope.to) == [["a@x.example", "b@x.example"]])
    #expect(mails.map(\.to.count) == [4])
  }

  @Test func `one recipient who is refused for now keeps it from all, so that none gets it twice`() async throws {
    let server = try await MailServer.start()
    let to = ["a@x.example", "rcpt-550@x.example", "rcpt-451@x.example"]
    let outcome = await send(try aMail(to: to), server.settings())
    #expect(outcome.isTemporary && outcome.line?.contains("rcpt-451@x.example with 451") == true)
    #expect(try server.mails.isEmpty)
  }

  // MARK: Time and trouble

  @Test(arguments: ["hang-rcpt", "hang-data"])
  func `a server that falls silent is left at the end of the time`(_ name: String) async throws {
    let server = try await MailServer.start()
    let begin = ContinuousClock.now
    let outcome = await send(try aMail(to: ["\(name)@example.com"]), server.settings(timeout: .seconds(1)))
    #expect(outcome.isTemporary && outcome.line?.contains("in time") == true)
    #expect(begin.duration(to: .now) < .seconds(25))
  }

  @Test func `a server that never greets is left at the end of the time`() async throws {
    let server = try await MailServer.start(mute: true)
    let outcome = await send(try aMail(), server.settings(timeout: .seconds(1)))
    #expect(outcome.isTemporary && outcome.line?.contains("no answer to the connection in time") == true)
  }

  @Test func `a server that does not say goodbye has the mail all the same`() async throws {
    let server = try await MailServer.start()
    let begin = ContinuousClock.now
    #expect(await send(try aMail(to: ["hang-quit@example.com"]), server.settings()) == .sent)
    #expect(begin.duration(to: .now) < .seconds(25))
  }

  @Test func `a server that is away may come back`() async throws {
    let server = try await MailServer.start()
    let settings = server.settings()
    await server.stop()
    #expect(await send(try aMail(), settings).isTemporary)
  }

  @Test func `a name that nobody knows may be known later`() async throws {
    let settings = SMTPSettings(host: "nobody.invalid", from: "martlet@example.com")
    #expect(await send(try aMail(), settings).isTemporary)
  }

  @Test(arguments: [nil, "hang-rcpt", "hang-data"])
  func `a cancelled mail ends at once, before it begins and while the server thinks`(_ name: String?) async throws {
    let server = try await MailServer.start()
    let mail = try aMail(to: ["\(name ?? "a")@example.com"])
    let settings = server.settings()
    let (outcome, begin) = try await withThrowingTaskGroup(of: MailOutcome.self) { group in
      if name == nil { group.cancelAll() }
      group.addTask { await SMTPClient(settings).send(mail) }
      if name != nil { try await server.hangs() }
      group.cancelAll()
      let begin = ContinuousClock.now
      return (try await group.next(), begin)
    }
    #expect(outcome == .temporary("\(settings.url): the sending was cancelled"))
    #expect(begin.duration(to: .now) < .seconds(25))
  }

  @Test func `many mails at once all arrive`() async throws {
    let server = try await MailServer.start()
    let client = SMTPClient(server.settings())
    let outcomes = try await withThrowingTaskGroup(of: MailOutcome.self) { group in
      for number in 0..<40 {
        let mail = try aMail(subject: "\(number)")
        group.addTask { await client.send(mail) }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(outcomes == Array(repeating: .sent, count: 40))
    #expect(try Set(server.mails.map(\.subject)).count == 40)
  }

  @Test func `while a server is silent, mails that wait get their answer in their own time`() async throws {
    let server = try await MailServer.start(mute: true)
    let client = SMTPClient(server.settings(timeout: .seconds(1)))
    let mail = try aMail()
    let begin = ContinuousClock.now
    let outcomes = await withTaskGroup(of: MailOutcome.self) { group in
      for _ in 0..<20 { group.addTask { await client.send(mail) } }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(outcomes.count == 20 && outcomes.allSatisfy(\.isTemporary))
    #expect(begin.duration(to: .now) < .seconds(15))
  }

  // MARK: Private targets

  @Test func `an address that is refused is never connected to, whatever name led there`() async throws {
    let server = try await MailServer.start()
    let asked = Mutex<[String]>([])
    let client = SMTPClient(server.settings(host: "localhost")) { address in
      asked.withLock { $0.append(address) }
      return "a loopback address"
    }
    let outcome = await client.send(try aMail())
    #expect(outcome.isPermanent && outcome.line?.contains("is a loopback address; network.allowPrivateTargets") == true)
    #expect(try server.mails.isEmpty)
    #expect(asked.withLock { Set($0).isSubset(of: ["127.0.0.1", "::1"]) && $0.contains("127.0.0.1") })
  }

  @Test func `the address that was looked at is the one that is called`() async throws {
    let server = try await MailServer.start()
    let client = SMTPClient(server.settings(host: "localhost")) { $0 == "127.0.0.1" ? nil : "not for us" }
    #expect(await client.send(try aMail()) == .sent)
  }
}
