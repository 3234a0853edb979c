// Notices from outside: each ending reaches its receivers, whoever is killed, slow or away meanwhile, under one id and signed so that a
// receiver that knows the specification alone believes it.

internal import ChildProcess
internal import Foundation
internal import MailServer
internal import MartletCore
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Notices")
  struct NoticeTests {
    private static let secrets = ["old", "new"].map { name in
      "whsec_" + Data((name + String(repeating: "-", count: 29)).utf8).base64EncodedString()
    }

    @Test(arguments: ["sqlite", "postgres"])
    func `each ending is told at least once under one id, though server and receiver are killed and one is slow`(
      database: String
    ) async throws {
      try await Scene.play { scene in
        let receiver = try await Receiver.start(scene, Self.secrets)
        var environment = ["MARTLET_NOTIFICATIONS_WEBHOOK_SECRET": Self.secrets.joined(separator: ",")]
        if database == "postgres" {
          environment["MARTLET_DATABASE_URL"] = try await scene.postgres().url()
        }
        var server = try await scene.serve(environment: environment)
        var ids = try await Self.submit(30, to: server, receiver)
        try await eventually("some are told") { try receiver.entries.count > 5 }
        try await server.kill()
        server = try await scene.serve(environment: environment)
        ids += try await Self.submit(10, to: server, receiver)
        try await eventually("more are told") { try receiver.entries.count > 40 }
        try await receiver.kill()
        ids += try await Self.submit(10, to: server, receiver)
        try await eventually("those are tried in vain") {
          try await server.api.found("/notifications?status=PENDING&limit=1000")["data"]?.elements?
            .contains { $0["lastError"]?.string != nil && $0["target"]?.string?.hasSuffix("/good") == true } == true
        }
        try await server.api.allAreAtRest()  // the tasks do not wait for receivers
        try await receiver.startAgain()
        // What waits out a long pause is sent again by hand.
        for notice in try await Self.notices(server) where notice["status"]?.string == "PENDING" {
          guard notice["target"]?.string?.hasSuffix("/slow") != true, let id = notice["id"]?.string else { continue }
          #expect(try await server.api.post("/notifications/\(id)/resend").status == 200)
        }
        let notices = try await eventually("all but the slow ones are told") {
          let all = try await Self.notices(server).filter { $0["target"]?.string?.hasSuffix("/slow") != true }
          return all.allSatisfy { $0["status"]?.string == "DELIVERED" } ? all : nil
        }
        #expect(notices.count == 2 * ids.count)
        let entries = try receiver.entries
        #expect(entries.allSatisfy { $0["isSigned"]?.bool == true })
        for notice in notices {
          let id = try #require(notice["id"]?.string)
          let told = entries.filter { $0["id"]?.string == id && $0["status"]?.int == 200 }
          #expect(!told.isEmpty, "\(id)")
          let hasFailed = notice["taskStatus"]?.string == "DEAD"
          for entry in told {
            #expect(entry["body"]?["data"]?["taskId"]?.string == notice["taskId"]?.string)
            #expect(entry["body"]?["data"]?["status"]?.string == (hasFailed ? "FAILED" : "SUCCESS"))
            #expect(entry["body"]?["type"]?.string == (hasFailed ? "task.failed" : "task.succeeded"))
          }
        }
        #expect(Set(notices.compactMap { $0["taskId"]?.string }) == Set(ids))
        Chaos.report(
          [
            ("kills of server and receiver", 2),
            ("calls that hang", entries.count { $0["path"]?.string == "/slow" }),
            ("calls answered 500", entries.count { $0["status"]?.int == 500 }),
          ], checked: [("notices", notices.count), ("calls", entries.count)])
        #expect(try await Self.notices(server).contains { $0["target"]?.string?.hasSuffix("/slow") == true })
        let metrics = try await server.api.get("/metrics").text
        #expect(metrics.contains(#"martlet_notice_deliveries_total{channel="webhook",outcome="delivered"}"#))
        #expect(metrics.contains("martlet_notices_waiting "))
        #expect(try await server.stop() == .exited(0))
      }
    }

    @Test func `a mail is sent by STARTTLS and login to whom the configuration names`() async throws {
      try await Scene.play { scene in
        let mail = try await MailServer.start(tls: .starttls, login: "martlet:a secret")
        let server = try await scene.serve(environment: [
          "NOTIFICATION_TYPE": "email", "MARTLET_NOTIFICATIONS_EMAIL_TO": "ops@example.com,rcpt-550@example.com",
          "MARTLET_NOTIFICATIONS_SMTP_HOST": "localhost", "MARTLET_NOTIFICATIONS_SMTP_PORT": "\(mail.port)",
          "MARTLET_NOTIFICATIONS_SMTP_USER": "martlet", "MARTLET_NOTIFICATIONS_SMTP_PASSWORD": "a secret",
          "MARTLET_NOTIFICATIONS_SMTP_CA": mail.certificate.path,
          "MARTLET_NOTIFICATIONS_EMAIL_FROM": "Martlet <martlet@example.com>",
        ])
        let id = try await server.api.submit(
          #"{"type":"FAIL_SOMETIMES","payload":{"probability":1},"retries":0}"#)
        try await server.api.task(id, becomes: "DEAD")
        let received = try await eventually("the mail is there") { try mail.mails.first }
        #expect(received.envelope.isSecure && received.envelope.login == "martlet")
        #expect(received.to.map(\.address) == ["ops@example.com"])
        #expect(received.subject == "[Martlet] FAILED: FAIL_SOMETIMES \(id)")
        #expect(received.text?.contains(id) == true && received.html?.contains("FAILED") == true)
        let notices = try await eventually("both are settled") {
          let all = try await Self.notices(server)
          return all.count == 2 && all.allSatisfy { $0["status"]?.string != "PENDING" } ? all : nil
        }
        let byTarget = Dictionary(uniqueKeysWithValues: notices.map { ($0["target"]?.string ?? "", $0) })
        #expect(byTarget["ops@example.com"]?["status"]?.string == "DELIVERED")
        #expect(byTarget["rcpt-550@example.com"]?["status"]?.string == "DEAD")
        #expect(received.messageID == "<\(byTarget["ops@example.com"]?["id"]?.string ?? "")@martlet>")
        let (ending, listed) = try await scene.martlet(
          ["notifications", "list", "--task", id, "--json", "--server", server.api.address])
        #expect(ending == .exited(0) && listed.output.contains("rcpt-550@example.com"), "\(listed.errors)")
        let (resent, again) = try await scene.martlet([
          "notifications", "resend", byTarget["ops@example.com"]?["id"]?.string ?? "", "--server", server.api.address,
        ])
        #expect(resent == .exited(0), "\(again.errors)")
        try await eventually("it comes once more") { try mail.mails.count == 2 }
        #expect(try mail.mails.map(\.messageID) == [received.messageID, received.messageID])
        #expect(try await server.stop() == .exited(0))
      }
    }

    @Test func `a private receiver is refused by address and name, and one that is gone is left alone`() async throws {
      try await Scene.play { scene in
        let receiver = try await Receiver.start(scene, Self.secrets)
        let server = try await scene.serve(environment: ["MARTLET_NETWORK_ALLOW_PRIVATE_TARGETS": "false"])
        let id = try await server.api.submit(
          """
          {"type":"DELAYED_MESSAGE","payload":{"message":"so"},"notify":[{"webhook":"\(receiver.address)/good"},
          {"webhook":"http://localhost:\(receiver.port)/good"},{"webhook":"http://169.254.169.254/latest"}]}
          """)
        let notices = try await eventually("all are given up") {
          let all = try await Self.notices(server)
          return all.count == 3 && all.allSatisfy { $0["status"]?.string == "DEAD" } ? all : nil
        }
        #expect(notices.allSatisfy { $0["taskId"]?.string == id && $0["attempts"]?.int == 1 })
        #expect(notices.allSatisfy { $0["lastError"]?.string?.contains("network.allowPrivateTargets") == true })
        #expect(try receiver.entries.isEmpty)
        #expect(try await server.stop() == .exited(0))
        let open = try await scene.serve(environment: [
          "MARTLET_NOTIFICATIONS_WEBHOOK_SECRET": Self.secrets.joined(separator: ",")
        ])
        _ = try await open.api.submit(
          #"{"type":"DELAYED_MESSAGE","payload":{"message":"so"},"notify":[{"webhook":"\#(receiver.address)/gone"}]}"#)
        let gone = try await eventually("it is given up") {
          try await Self.notices(open).first {
            $0["target"]?.string?.hasSuffix("/gone") == true && $0["status"]?.string == "DEAD"
          }
        }
        #expect(gone["lastError"]?.string == "answered 410")
        #expect(try await open.stop() == .exited(0))
      }
    }

    /// Half of them succeed. Each tells a receiver that is well and one that fails at first; every fifth besides one that is slow.
    private static func submit(_ count: Int, to server: Server, _ receiver: Receiver) async throws -> [String] {
      var ids: [String] = []
      for number in 0..<count {
        let paths = ["/good", "/flaky"] + (number.isMultiple(of: 5) ? ["/slow"] : [])
        let notify = paths.map { #"{"webhook":"\#(receiver.address)\#($0)"}"# }.joined(separator: ",")
        ids.append(
          try await server.api.submit(
            #"{"type":"FAIL_SOMETIMES","payload":{"probability":\#(number % 2)},"retries":0,"notify":[\#(notify)]}"#))
      }
      return ids
    }

    private static func notices(_ server: Server) async throws -> [JSONSlice] {
      try await server.api.found("/notifications?limit=1000")["data"]?.elements ?? []
    }
  }
}

/// `receiver.py` as a process, which can be killed and started again at its port.
private final class Receiver {
  private let scene: Scene
  private let secrets: [String]
  private var program: Program
  let port: Int

  var address: String { "http://127.0.0.1:\(port)" }

  static func start(_ scene: Scene, _ secrets: [String]) async throws -> Receiver {
    // Not one of those that the system gives to whoever asks while it is away.
    let program = try launch(scene, secrets, port: freePort())
    return Receiver(scene, secrets, program, port: try await listening(scene))
  }

  private init(_ scene: Scene, _ secrets: [String], _ program: Program, port: Int) {
    (self.scene, self.secrets, self.program, self.port) = (scene, secrets, program, port)
  }

  private static func launch(_ scene: Scene, _ secrets: [String], port: Int) throws -> Program {
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("WebhookReceiver/receiver.py")
    try? FileManager.default.removeItem(at: scene.file("port"))
    return try scene.start(
      try Tool.installed("python3"),
      [script.path, scene.file("journal").path, scene.file("port").path, String(port)] + secrets)
  }

  private static func listening(_ scene: Scene) async throws -> Int {
    try await eventually("the receiver listens") {
      Int((try? String(contentsOf: scene.file("port"), encoding: .utf8)) ?? "")
    }
  }

  func kill() async throws {
    program.signal(SIGKILL)
    _ = try await program.ended()
  }

  func startAgain() async throws {
    program = try Self.launch(scene, secrets, port: port)
    _ = try await Self.listening(scene)
  }

  /// What came, in order; of a killed process the last line may be half written.
  var entries: [JSONSlice] {
    get throws {
      guard let text = try? String(contentsOf: scene.file("journal"), encoding: .utf8) else { return [] }
      return text.split(separator: "\n").compactMap { try? JSONScanner.scan(Array($0.utf8)) }
    }
  }
}
