// Notices on their way out of the house: what a receiver gets, what its answers mean, and where nothing is sent.

import Foundation
import Logging
import MartletCore
import MartletEngine
import NIOHTTP1
import ScriptedServer
import Synchronization
import Testing

@testable import Martlet

@Suite("A notice by webhook", .timeLimit(.minutes(10)))
struct NoticePostTests {
  private static let secrets = [
    "whsec_" + Data(repeating: 7, count: 32).base64EncodedString(),
    "whsec_" + Data(repeating: 9, count: 32).base64EncodedString(),
  ]

  /// What was written to the log.
  private final class Lines: Sendable {
    let all = Mutex<[String]>([])
  }

  private func withPost<Result>(
    _ settings: Settings = Settings(), targets: PrivateTargets = PrivateTargets(areAllowed: true),
    log: Lines = Lines(), _ body: (NoticePost) async throws -> Result
  ) async throws -> Result {
    let logger = Logger(label: "test") { _ in
      LineLogHandler(format: .text) { bytes in log.all.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) } }
    }
    let post = try NoticePost(settings: settings, targets: targets, clock: StoppedClock(), logger: logger)
    do {
      let result = try await body(post)
      await post.shutdown()
      return result
    } catch {
      await post.shutdown()
      throw error
    }
  }

  private func delivery(to target: NoticeTarget, traceparent: String? = nil) -> NoticeDelivery {
    let start = Timestamp(milliseconds: 1_769_940_000_000)
    var task = TaskRecord(
      AcceptedTask(
        id: TaskID(high: 0x0190_0000_0000_7000, low: 0x8000_0000_0000_0001), type: "resize", queue: "images",
        payload: [], priority: 5, eligible: .now, runAt: nil, retries: 0, backoff: RetryPolicy(),
        timeout: .seconds(300), lease: .seconds(30), expiresAt: nil, tags: [], metadata: [:],
        traceparent: traceparent, replayOf: nil), acceptedAt: start)
    (task.status, task.reason, task.attempt, task.finishedAt) = (.dead, .retriesExhausted, 1, start)
    task.lastError = TaskError(type: "HTTP_503", message: "away")
    let notice = NoticeRecord(
      id: NoticeID(task: task.id, sequence: 4, place: 0), number: 1, type: "resize", queue: "images",
      channel: target.channel, target: target.text, destination: target.destination, taskStatus: .dead,
      reason: .retriesExhausted, attempt: 1, maxAttempts: 1, startedAt: start, status: .pending, attempts: 1,
      mostAttempts: 15, createdAt: start, updatedAt: start, nextAttemptAt: start, lastError: nil)
    return NoticeDelivery(notice: notice, task: task, logs: ["line"], now: start + .milliseconds(1999))
  }

  @Test("has the trace that the task belongs to")
  func trace() async throws {
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    try await HookServer.run([.reply(204), .reply(204)]) { server in
      let target = NoticeTarget(.webhook(server.url("/")))
      _ = try await withPost { await $0.deliver(delivery(to: target, traceparent: given)) }
      _ = try await withPost { await $0.deliver(delivery(to: target)) }
      #expect(server.requests.map { $0.headers["traceparent"] } == [[given], []])
    }
  }

  @Test("has the id of the notice, the time, a signature for each secret, and says that the task has failed")
  func headers() async throws {
    var settings = Settings()
    settings.notifications.webhook.secret = Self.secrets
    try await HookServer.run([.reply(204)]) { server in
      let delivery = delivery(to: NoticeTarget(.webhook(server.url("/hook?a=b"))))
      let verdict = try await withPost(settings) { await $0.deliver(delivery) }
      #expect(verdict == .delivered)
      let request = try #require(server.requests.first)
      #expect(request.method == "POST" && request.uri == "/hook?a=b")
      #expect(request.headers["content-type"] == ["application/json"])
      #expect(request.headers["webhook-id"] == ["01900000-0000-7000-8000-000000000001.4.0"])
      #expect(request.headers["webhook-timestamp"] == ["1769940001"])
      let signatures = try #require(request.headers.first(name: "webhook-signature")).split(separator: " ")
      #expect(signatures.count == 2 && signatures.allSatisfy { $0.hasPrefix("v1,") && $0.count == 47 })
      let body = try JSONScanner.scan(Array(request.body.utf8))
      #expect(body["type"]?.string == "task.failed")
      #expect(body["data"]?["status"]?.string == "FAILED")
      #expect(body["data"]?["taskStatus"]?.string == "DEAD")
      #expect(body["data"]?["error"]?["message"]?.string == "away")
      #expect(body["data"]?["logs"]?.elements?.compactMap(\.string) == ["line"])
    }
  }

  @Test(
    "is delivered by 2xx, given up by 410 and tried again after any other answer, as late as the receiver asks",
    arguments: [
      (HookServer.Answer.reply(200), NoticeVerdict.delivered), (.reply(299), .delivered),
      (.reply(410), .refused("answered 410")), (.reply(404), .failed("answered 404")),
      (.reply(500), .failed("answered 500")),
      (.reply(503, [("Retry-After", "120")]), .failed("answered 503", after: .seconds(120))),
      (
        .reply(302, [("Location", "http://elsewhere.example/")]),
        .failed("answered 302; redirects to another host are not followed")
      ),
    ])
  func answers(answer: HookServer.Answer, verdict: NoticeVerdict) async throws {
    try await HookServer.run([answer]) { server in
      let delivery = delivery(to: NoticeTarget(.webhook(server.url())))
      let told = try await withPost { await $0.deliver(delivery) }
      #expect(told == verdict)
    }
  }

  @Test("goes to no private address, whatever the name was resolved to before")
  func privateTargets() async throws {
    let closed = PrivateTargets(areAllowed: false)
    for url in ["http://127.0.0.1:9/", "http://[::1]/", "http://169.254.169.254/latest", "http://0x7f.1/"] {
      let verdict = try await withPost(targets: closed) { await $0.deliver(delivery(to: NoticeTarget(.webhook(url)))) }
      guard case .refused(let line) = verdict else {
        Issue.record("\(url): \(verdict)")
        continue
      }
      #expect(line.contains("network.allowPrivateTargets does not allow calls there"))
    }
    let asked = Mutex(0)
    let rebinding = PrivateTargets(
      areAllowed: false, refusal: { $0.description == "127.0.0.1" ? nil : "a private address" },
      resolve: { _ in
        // Public for whoever looks first, private for whoever connects by a look of his own.
        let turn = asked.withLock { asked in
          asked += 1
          return asked
        }
        return [turn == 1 ? "127.0.0.1" : "127.0.0.2"].compactMap { IPAddress($0) }
      })
    try await HookServer.run([.reply(200)]) { server in
      let target = NoticeTarget(.webhook("http://rebind.example:\(server.port)/"))
      try await withPost(targets: rebinding) { post in
        #expect(await post.deliver(delivery(to: target)) == .delivered)
        #expect(asked.withLock { $0 } == 1, "the address that was looked at is the one that is called")
        guard case .refused = await post.deliver(delivery(to: target)) else {
          Issue.record("the name has changed its mind, and was believed")
          return
        }
      }
      #expect(server.requests.count == 1)
    }
  }

  @Test("goes by new secrets and targets also where templates of mails cannot be read any more, and that is told")
  func takingOver() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    var before = Settings()
    before.notifications.webhook.secret = [Self.secrets[0]]
    before.notifications.smtp.host = "127.0.0.1"
    before.notifications.email.from = "martlet@example.com"
    before.notifications.email.templates = folder.path
    let log = Lines()
    try await HookServer.run([.reply(204), .reply(204)]) { server in
      let delivery = delivery(to: NoticeTarget(.webhook(server.url())))
      try await withPost(before, log: log) { post in
        #expect(await post.deliver(delivery) == .delivered)
        try FileManager.default.removeItem(at: folder)
        var settings = before
        settings.notifications.webhook.secret = Self.secrets
        post.take(over: settings)
        #expect(post.channels == [.webhook, .email], "mails go on with the templates that they had")
        #expect(await post.deliver(delivery) == .delivered)
        let signatures = server.requests.compactMap { $0.headers.first(name: "webhook-signature") }
        #expect(signatures.map { $0.split(separator: " ").count } == [1, 2])
        let lines = log.all.withLock(\.self)
        #expect(lines.count == 1 && lines[0].contains("notifications.email.templates cannot be used"), "\(lines)")

        settings.network.allowPrivateTargets = false
        post.take(over: settings)
        guard case .refused = await post.deliver(delivery) else {
          Issue.record("private targets are not allowed any more")
          return
        }
      }
    }
  }

  @Test("is judged by what can be seen of its receiver when the task is submitted")
  func problems() {
    for url in ["http:///x", "https://user:pw@a.example/", "https://a.example:99999/"] {
      #expect(NoticePost.problem(with: NoticeTarget(.webhook(url))) != nil, "\(url)")
    }
    #expect(NoticePost.problem(with: NoticeTarget(.webhook("https://a.example/x?y=z"))) == nil)
    #expect(NoticePost.problem(with: NoticeTarget(.email("user@bücher.example"))) != nil)
    #expect(NoticePost.problem(with: NoticeTarget(.email("ops@example.com"))) == nil)
  }

  @Test("leaves mails to others where there is no mail server")
  func channels() async throws {
    try await withPost { #expect($0.channels == [.webhook]) }
    var settings = Settings()
    settings.notifications.smtp.host = "127.0.0.1"
    settings.notifications.email.from = "martlet@example.com"
    try await withPost(settings) { #expect($0.channels == [.webhook, .email]) }
  }
}

@Suite("The settings of notices")
struct NoticeSettingsTests {
  private func load(_ environment: [String: String]) throws(SettingsError) -> Settings {
    try Settings.load(flags: [:], environment: environment, workingDirectory: "/nowhere").settings
  }

  @Test("tell nobody unless something is set")
  func none() throws {
    #expect(try load([:]).notifications.defaultTargets == [])
    #expect(try load(["NOTIFICATION_TYPE": "none"]).notifications.defaultTargets == [])
  }

  @Test("name a webhook, of which endings it hears, and the secrets that sign")
  func webhook() throws {
    let settings = try load([
      "NOTIFICATION_TYPE": "webhook", "MARTLET_NOTIFICATIONS_WEBHOOK_URL": "https://a.example/x",
      "MARTLET_NOTIFICATIONS_ON": "DEAD,CANCELLED",
      "MARTLET_NOTIFICATIONS_WEBHOOK_SECRET":
        "whsec_\(Data(repeating: 1, count: 24).base64EncodedString()),whsec_\(Data(repeating: 2, count: 24).base64EncodedString())",
    ])
    #expect(
      settings.notifications.defaultTargets == [NoticeTarget(.webhook("https://a.example/x"), on: [.dead, .cancelled])])
    #expect(settings.notifications.webhook.secret.count == 2)
  }

  @Test("name addresses, each told by a mail of its own")
  func email() throws {
    let settings = try load([
      "NOTIFICATION_TYPE": "EMAIL", "MARTLET_NOTIFICATIONS_EMAIL_TO": "a@example.com,b@example.com",
      "MARTLET_NOTIFICATIONS_EMAIL_FROM": "martlet@example.com", "MARTLET_NOTIFICATIONS_SMTP_HOST": "mail.example.com",
    ])
    #expect(settings.notifications.defaultTargets.map(\.text) == ["a@example.com", "b@example.com"])
    #expect(settings.notifications.defaultTargets.map(\.on) == [[.success, .dead], [.success, .dead]])
  }

  @Test(
    "are refused where they cannot work, by the setting that is wrong",
    arguments: [
      (["NOTIFICATION_TYPE": "pigeon"], "notifications.type"),
      (["NOTIFICATION_TYPE": "webhook"], "notifications.webhook.url"),
      (["NOTIFICATION_TYPE": "email"], "notifications.email.to"),
      (["NOTIFICATION_TYPE": "email", "MARTLET_NOTIFICATIONS_EMAIL_TO": "a@example.com"], "notifications.smtp.host"),
      (["MARTLET_NOTIFICATIONS_WEBHOOK_URL": "ftp://a"], "notifications.webhook.url"),
      (["MARTLET_NOTIFICATIONS_WEBHOOK_SECRET": "whsec_short"], "notifications.webhook.secret"),
      (["MARTLET_NOTIFICATIONS_EMAIL_TO": "nobody"], "notifications.email.to"),
      (["MARTLET_NOTIFICATIONS_ON": "RUNNING"], "notifications.on"),
      (["MARTLET_NOTIFICATIONS_EMAIL_TEMPLATES": "/no/such/folder"], "notifications.email.templates"),
      (["MARTLET_NOTIFICATIONS_SMTP_CA": "/tmp/ca.pem"], "notifications.smtp.host"),
    ])
  func refused(environment: [String: String], key: String) {
    do {
      _ = try load(environment)
      Issue.record("was taken")
    } catch {
      #expect(error.problems.map(\.key).contains(key), "\(error)")
      #expect(!"\(error)".contains("whsec_short"), "a secret is told to nobody")
    }
  }

  @Test("read the texts of mails from a folder, and the built-in ones where it has none")
  func templates() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Data("{{status}}: {{type}}\n".utf8).write(to: folder.appendingPathComponent("subject.txt"))
    let environment = ["MARTLET_NOTIFICATIONS_EMAIL_TEMPLATES": folder.path]
    _ = try load(environment).notifications.email.mailTemplates()
    try Data("{{nonsense}}".utf8).write(to: folder.appendingPathComponent("text.txt"))
    do {
      _ = try load(environment)
      Issue.record("was taken")
    } catch {
      #expect("\(error)".contains("{{nonsense}} is no placeholder"), "\(error)")
    }
  }
}
