// Brokers that do not want us, or are not there: what whoever is on call reads of it, in the log and in `/health/ready`.

internal import Foundation
internal import KafkaBroker
internal import MartletCore
internal import RabbitServer
internal import ScriptedServer
internal import Testing

extension EndToEnd {
  @Suite("Brokers that refuse")
  struct BrokerRefusalTests {
    private func check(
      _ sink: String, _ environment: [String: String], says words: String, never secret: String,
      sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
      try await Scene.play { scene in
        let server = try await scene.serve(environment: environment)
        try await eventually("the relay attends") {
          try await server.api.get("/metrics").text.contains("martlet_outbox_events{sink=\"\(sink)\"}")
        }
        let id = try await server.api.submit(#"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}"#)
        try await server.api.task(id, becomes: "SUCCESS")
        let detail = try await eventually("the trouble is told") { () -> String? in
          let ready = try await server.api.get("/health/ready")
          #expect(try ready.isReadyButForStore(), "the node can serve", sourceLocation: sourceLocation)
          guard ready.status == 200 else { return nil }
          let component = try ready.json()["components"]?.elements?.first { $0["name"]?.string == sink }
          return component?["status"]?.string == "failing" ? component?["detail"]?.string : nil
        }
        #expect(detail.contains(words), "\(detail)", sourceLocation: sourceLocation)
        // It is tried again and again, and told once.
        try await Task.sleep(for: .milliseconds(500))
        let lines = server.program.errorLines.filter { $0.contains("ERROR") }
        #expect(lines.count == 1, "\(lines)", sourceLocation: sourceLocation)
        #expect(lines.first?.contains(detail) == true, "\(lines)", sourceLocation: sourceLocation)
        #expect(lines.first?.contains("sink=\(sink)") == true, sourceLocation: sourceLocation)
        #expect(!server.program.errors.contains(secret) && !detail.contains(secret), sourceLocation: sourceLocation)
        #expect(try await server.stop() == .exited(0), sourceLocation: sourceLocation)
      }
    }

    @Test func `a RabbitMQ with another password, without the virtual host, or without the right to it`() async throws {
      let rabbit = try await RabbitServer.start()
      try await rabbit.control("await_startup")
      try await rabbit.control("add_user", "small", "small-secret")
      try await rabbit.control("set_permissions", "small", "^$", "^$", "^$")
      for (url, words, secret) in [
        (rabbit.url(password: "not-this-one"), "refuses the user app or the virtual host /", "not-this-one"),
        (rabbit.url(vhost: "nowhere"), "vhost nowhere not found", RabbitServer.password),
        (rabbit.url(user: "small", password: "small-secret"), "refuses the exchange martlet.events", "small-secret"),
      ] {
        try await check("rabbitmq", ["MARTLET_EVENTS_RABBITMQ_URL": url], says: words, never: secret)
      }
      await rabbit.remove()
    }

    @Test func `brokers that nobody is at`() async throws {
      let port = try ScriptedServer.deafPort()
      try await check(
        "rabbitmq", ["MARTLET_EVENTS_RABBITMQ_URL": "amqp://app:top-secret@127.0.0.1:\(port)/"],
        says: "RabbitMQ at 127.0.0.1:\(port) cannot be reached", never: "top-secret")
      try await check(
        "kafka",
        [
          "MARTLET_EVENTS_KAFKA_BROKERS": "127.0.0.1:\(port)",
          "MARTLET_EVENTS_KAFKA_PROPERTIES": "security.protocol=SASL_PLAINTEXT,sasl.mechanisms=PLAIN,"
            + "sasl.username=martlet,sasl.password=top-secret",
        ], says: "127.0.0.1:\(port)", never: "top-secret")
    }
  }
}
