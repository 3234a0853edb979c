// Whatever goes wrong with those that Martlet has a password for, no password is told: not in the log at its most talkative, not by
// health, settings, metrics and history.

internal import Foundation
internal import MailServer
internal import MartletCore
internal import PostgresServer
internal import RedisServer
internal import ScriptedServer
internal import Testing

extension EndToEnd {
  @Suite("Secrets", .timeLimit(.minutes(20)))
  struct SecretsTests {
    /// A piece of each secret that stands nowhere else.
    private static let pieces = [
      "jwtS3cretPiece", "bootstrapS3cretPiece", "redisS3cretPiece", "kafkaS3cretPiece", "rabbitS3cretPiece",
      "smtpS3cretPiece", "otlpS3cretPiece", "databaseS3cretPiece", "wrongKeyS3cretPiece", "wrongTokenS3cretPiece",
    ]
    private static let webhookSecret = "whsec_" + Data("webhookS3cretPiece-of-thirty-two-by".utf8).base64EncodedString()
    private static let bootstrap = "bootstrapS3cretPiece-of-this-installation"

    private static func expectNone(in text: String, _ place: String) {
      for secret in pieces + [webhookSecret, String(webhookSecret.dropFirst(6)), "webhookS3cretPiece"] {
        #expect(!text.contains(secret), "\(secret) in \(place): \(lines(of: text, with: secret))")
        for encoded in [Data(secret.utf8).base64EncodedString().prefix(12)] {
          #expect(!text.contains(encoded), "\(secret) encoded in \(place)")
        }
      }
    }

    private static func lines(of text: String, with secret: String) -> String {
      text.split(separator: "\n").filter { $0.contains(secret) }.joined(separator: "\n")
    }

    @Test(arguments: ["text", "json"])
    func `when all that has a secret fails, no secret is told`(format: String) async throws {
      try await ScriptedServer.serving({ request, _ in
        guard request.path == "/v1/traces" else { return .json(500, "{}") }
        return .json(401, #"{"you sent":"\#(request.headers["authorization"] ?? "")"}"#)
      }) { peer in
        try await Scene.play { scene in
          let redis = try await RedisServer.start(password: "another")
          let mail = try await MailServer.start(login: "martlet:another")
          let deaf = try ScriptedServer.deafPort()
          let environment = [
            "MARTLET_LOG_LEVEL": "trace", "MARTLET_LOG_FORMAT": format, "MARTLET_NETWORK_ALLOW_PRIVATE_TARGETS": "true",
            "MARTLET_AUTH_JWT_SECRET": "jwtS3cretPiece-of-thirty-two-bytes-or-more",
            "MARTLET_AUTH_BOOTSTRAP_KEY": Self.bootstrap,
            "MARTLET_REDIS_URL": "redis://:redisS3cretPiece@127.0.0.1:\(redis.port)",
            "MARTLET_EVENTS_KAFKA_BROKERS": "127.0.0.1:\(deaf)",
            "MARTLET_EVENTS_KAFKA_PROPERTIES":
              "security.protocol=SASL_PLAINTEXT,sasl.mechanism=PLAIN,sasl.username=u,sasl.password=kafkaS3cretPiece",
            "MARTLET_EVENTS_RABBITMQ_URL": "amqp://user:rabbitS3cretPiece@127.0.0.1:\(deaf)/x",
            "MARTLET_NOTIFICATIONS_WEBHOOK_SECRET": Self.webhookSecret,
            "MARTLET_NOTIFICATIONS_SMTP_HOST": "127.0.0.1", "MARTLET_NOTIFICATIONS_SMTP_PORT": "\(mail.port)",
            "MARTLET_NOTIFICATIONS_SMTP_TLS": "none", "MARTLET_NOTIFICATIONS_SMTP_USER": "martlet",
            "MARTLET_NOTIFICATIONS_SMTP_PASSWORD": "smtpS3cretPiece",
            "MARTLET_NOTIFICATIONS_EMAIL_FROM": "martlet@example.com",
            "MARTLET_TELEMETRY_OTLP_ENDPOINT": peer.address,
            "MARTLET_TELEMETRY_OTLP_HEADERS": "Authorization=Bearer otlpS3cretPiece,X-Tenant=otlpS3cretPiece2",
          ]
          let server = try await scene.serve(environment: environment)
          let boss = API(address: server.api.address, key: Self.bootstrap)
          let stranger = API(address: server.api.address, key: "mk_wrongKeyS3cretPiece")
          #expect(try await stranger.get("/tasks").status == 401)
          let token = "Bearer \(Data("{\"alg\":\"HS256\"}".utf8).base64EncodedString()).wrongTokenS3cretPiece.x"
          #expect(try await server.api.post("/tasks", headers: [("Authorization", token)]).status == 401)
          let mailed = try await boss.submit(
            #"{"type":"email","payload":{"to":"user@example.com","subject":"s"},"backoff":{"baseSeconds":600}}"#)
          let told = try await boss.submit(
            #"""
            {"type":"FAIL_SOMETIMES","payload":{"probability":1},"retries":0,
             "notify":[{"webhook":"\#(peer.address)/hook"}]}
            """#)
          // A server that refuses the login may do so for good.
          try await eventually("the mail has failed") {
            try await ["RETRY", "DEAD"].contains(boss.task(mailed)["status"]?.string ?? "")
          }
          try await boss.task(told, becomes: "DEAD")
          // Each of them has failed, and the log says so.
          for sign in ["Redis at", "kafka", "rabbitmq", "answered 401", "a notice could not be delivered"] {
            try await eventually("the log tells of \(sign)") { server.program.errors.contains(sign) }
          }
          var places = ["/health/ready", "/metrics", "/notifications", "/audit", "/stats", "/workers"]
          for id in [mailed, told] { places += ["/tasks/\(id)", "/tasks/\(id)/attempts", "/tasks/\(id)/events"] }
          for place in places {
            let reply = try await boss.get(place)
            Self.expectNone(in: String(decoding: reply.body, as: UTF8.self), place)
          }
          for command in [["config", "show"], ["config", "show", "--json"], ["config", "check"]] {
            let shown = try await scene.martlet(command, environment: environment)
            #expect(shown.ending == .exited(0), "\(shown.program.errors)")
            Self.expectNone(in: shown.program.output + shown.program.errors, command.joined(separator: " "))
          }
          #expect(try await server.stop() == .exited(0))
          Self.expectNone(in: server.program.output, "standard output")
          Self.expectNone(in: server.program.errors, "the log")
          #expect(peer.requests.contains { $0.headers["authorization"] == "Bearer otlpS3cretPiece" })
          await mail.stop()
          await redis.remove()
        }
      }
    }

    @Test func `a database that lets nobody in, or is not there, is told without its password`() async throws {
      try await Scene.play { scene in
        let postgres = try await scene.postgres()
        let port = try ScriptedServer.deafPort()
        for address in ["127.0.0.1:\(port)/work", "127.0.0.1:\(postgres.port)/work"] {
          let (ending, program) = try await scene.martlet(
            ["serve", "--port", "0"],
            environment: [
              "MARTLET_DATABASE_URL": "postgres://nobody:databaseS3cretPiece@\(address)?connect_timeout=5",
              "MARTLET_LOG_LEVEL": "trace",
            ])
          #expect(ending != .exited(0))
          #expect(!program.errors.isEmpty)
          Self.expectNone(in: program.output + program.errors, "what it says of \(address)")
        }
      }
    }

    @Test func `a configuration that is refused is told without its secrets`() async throws {
      try await Scene.play { scene in
        let (ending, program) = try await scene.martlet(
          ["serve", "--port", "0"],
          environment: [
            "MARTLET_TELEMETRY_OTLP_ENDPOINT": "http://user:otlpS3cretPiece@collector:4318",
            "MARTLET_TELEMETRY_OTLP_HEADERS": "otlpS3cretPiece", "MARTLET_REDIS_URL": "radish://:redisS3cretPiece@x",
            "MARTLET_EVENTS_RABBITMQ_URL": "http://u:rabbitS3cretPiece@x", "MARTLET_AUTH_JWT_SECRET": "jwtS3cretPiece",
            "MARTLET_EVENTS_KAFKA_PROPERTIES": "kafkaS3cretPiece",
            "MARTLET_NOTIFICATIONS_WEBHOOK_SECRET": "webhookS3cretPiece",
          ])
        #expect(ending == .exited(2))
        #expect(program.errors.contains("telemetry.otlp.endpoint"))
        Self.expectNone(in: program.output + program.errors, "the refusal")
      }
    }
  }
}
