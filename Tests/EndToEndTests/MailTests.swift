// SEND_EMAIL with a mail server: mails arrive, are refused or wait.

internal import Foundation
internal import MailServer
internal import MartletCore
internal import Testing

extension EndToEnd {
  @Suite("Mail")
  struct MailTests {
    @Test func `a mail arrives once its server is there, as it was written and under the task's own id`() async throws {
      try await Scene.play { scene in
        let mail = try await MailServer.start(tls: .none)
        let server = try await scene.serve(environment: [
          "MARTLET_NOTIFICATIONS_SMTP_HOST": "127.0.0.1", "MARTLET_NOTIFICATIONS_SMTP_PORT": "\(mail.port)",
          "MARTLET_NOTIFICATIONS_SMTP_TLS": "none", "MARTLET_NOTIFICATIONS_EMAIL_FROM": "Martlet <martlet@example.com>",
        ])
        let id = try await server.api.submit(
          #"{"type":"email","payload":{"to":"user@example.com","subject":"Grüße","content":"<h1>Hello</h1>"}}"#)
        let task = try await server.api.task(id, becomes: "SUCCESS")
        #expect(task["result"]?["simulated"]?.bool == false)
        let received = try #require(try mail.mails.first)
        #expect(received.messageID == "<\(id)@martlet>")
        #expect(received.subject == "Grüße")
        #expect(received.from.map(\.address) == ["martlet@example.com"])
        #expect(received.to.map(\.address) == ["user@example.com"])
        #expect(received.html?.contains("<h1>Hello</h1>") == true)
        #expect(received.text?.contains("Hello") == true)
        // Refused for good by the server.
        let refused = try await server.api.submit(
          #"{"type":"email","payload":{"to":"rcpt-550@example.com","subject":"No"}}"#)
        let dead = try await server.api.task(refused, becomes: "DEAD")
        #expect(dead["reason"]?.string == "NON_RETRYABLE")
        // And refused for now.
        let later = try await server.api.submit(
          #"{"type":"email","payload":{"to":"rcpt-451@example.com","subject":"Soon"},"backoff":{"baseSeconds":600}}"#)
        let retried = try await server.api.task(later, becomes: "RETRY")
        #expect(retried["lastError"]?["message"]?.string?.contains("451") == true)
        await mail.stop()
        let waiting = try await server.api.submit(
          #"{"type":"email","payload":{"to":"user@example.com","subject":"Later"},"backoff":{"baseSeconds":600}}"#)
        try await server.api.task(waiting, becomes: "RETRY")
        Chaos.report([("mails refused by 550, by 451 and by nobody", 3)], checked: [("mails", try mail.mails.count)])
        #expect(try mail.mails.count == 1)
        #expect(try await server.stop() == .exited(0))
      }
    }
  }
}
