// Brokers beside the server: every transition of every acknowledged task is told to each, in order, whoever is killed meanwhile, and
// the tasks themselves never wait for it.

internal import Foundation
internal import KafkaBroker
internal import MartletCore
internal import PostgresServer
internal import RabbitServer
internal import Testing

extension EndToEnd {
  @Suite("Brokers")
  struct BrokerTests {
    private static let mixed = [
      #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}"#,
      #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 1, "backoff": {"baseSeconds": 0.1}}"#,
      #"{"type": "DELAYED_MESSAGE", "payload": {"message": "so"}, "delaySeconds": 0.5}"#,
    ]

    @Test(arguments: ["sqlite", "postgres"])
    func `every event reaches both brokers in order, though each of them is killed under load`(
      database: String
    ) async throws {
      try await Scene.play { scene in
        let (kafka, rabbit) = (try await SmallKafka.start(), try await RabbitServer.start())
        var environment = [
          "MARTLET_EVENTS_KAFKA_BROKERS": kafka.brokers.joined(separator: ","),
          "MARTLET_EVENTS_RABBITMQ_URL": rabbit.url(),
        ]
        if database == "postgres" {
          environment["MARTLET_DATABASE_URL"] = try await scene.postgres().url()
        }
        let server = try await scene.serve(environment: environment)
        // Both know the server before the first task, so that no event is before their time.
        try await eventually("the relays attend") {
          try await server.api.get("/metrics").text.contains(#"martlet_outbox_events{sink="rabbitmq"}"#)
        }

        var ids = try await Self.submit(40, to: server)
        // A quorum queue of RabbitMQ 3.10 that is killed before it has ever held a message finds no leader afterwards.
        try await server.api.allAreAtRest()
        try await eventually("all is told") { try await Self.waiting(server) == 0 }
        await kafka.stop()
        ids += try await Self.submit(40, to: server)
        await rabbit.kill()
        ids += try await Self.submit(40, to: server)
        try await server.api.allAreAtRest()  // the tasks do not wait for brokers
        try await eventually("the trouble is told") {
          let ready = try await server.api.get("/health/ready")
          let failing = try ready.json()["components"]?.elements?.filter { $0["status"]?.string == "failing" } ?? []
          return ready.status == 200 && failing.compactMap { $0["name"]?.string }.sorted() == ["kafka", "rabbitmq"]
        }
        try await kafka.startAgain()
        try await rabbit.startAgain()
        ids += try await Self.submit(40, to: server)
        try await server.api.allAreAtRest()
        try await eventually("all is told") { try await Self.waiting(server) == 0 }

        let told = try await KafkaContents.of("martlet.events", at: kafka.brokers).records
        for id in ids {
          let expected = try await server.api.events(of: id).compactMap { $0["sequence"]?.int }
          var seen: [Int] = []
          for record in told where record.key == id {
            let sequence = try #require(Int(record.headers["ce_sequence"] ?? ""))
            if !seen.contains(sequence) { seen.append(sequence) }
          }
          #expect(seen == expected, "\(id)")
        }
        let dead = try await server.api.found("/dead-letters?limit=1000")["data"]?.elements?.compactMap {
          $0["id"]?.string
        }
        let letters = try await Self.consume("kafka", scene, environment)
        #expect(Set(letters) == Set(dead ?? []))
        #expect(Set(try await Self.consume("rabbitmq", scene, environment)) == Set(dead ?? []))
        #expect(dead?.count ?? 0 > 20)
        Chaos.report(
          [("brokers that were down and told so", 2)],
          checked: [("tasks", ids.count), ("events", told.count), ("dead letters", dead?.count ?? 0)])
        #expect(try await server.stop() == .exited(0))
        await kafka.remove()
        await rabbit.remove()
      }
    }

    @Test func `a dead letter that its command does not take comes again, and one that it takes does not`() async throws
    {
      try await Scene.play { scene in
        let kafka = try await SmallKafka.start()
        let environment = ["MARTLET_EVENTS_KAFKA_BROKERS": kafka.brokers.joined(separator: ",")]
        let server = try await scene.serve(environment: environment)
        try await eventually("the relay attends") {
          try await server.api.get("/metrics").text.contains(#"martlet_outbox_events{sink="kafka"}"#)
        }
        let id = try await server.api.submit(
          #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 0}"#)
        try await server.api.task(id, becomes: "DEAD")
        try await eventually("it is told") { try await Self.waiting(server) == 0 }
        let arguments = ["dead-letters", "consume", "--from", "kafka", "--limit", "1", "--"]
        let refused = try await scene.martlet(arguments + ["/bin/sh", "-c", "exit 3"], environment: environment)
        #expect(refused.ending == .exited(1))
        #expect(refused.program.errorLines.last?.contains(id) == true)
        let script = #"cat > letter; printf '%s' "$MARTLET_TASK_ID" > id"#
        let taken = try await scene.martlet(arguments + ["/bin/sh", "-c", script], environment: environment)
        #expect(taken.ending == .exited(0))
        #expect(try String(contentsOf: scene.file("id"), encoding: .utf8) == id)
        let letter = try JSONScanner.scan(Array(try Data(contentsOf: scene.file("letter"))))
        #expect(letter["data"]?["payload"]?["probability"]?.int == 1)
        #expect(try await Self.consume("kafka", scene, environment) == [])
        #expect(try await server.stop() == .exited(0))
        await kafka.remove()
      }
    }

    @Test func `what can be seen to be wrong about a broker keeps the server from starting`() async throws {
      try await Scene.play { scene in
        try await scene.refuses(
          ["serve", "--port", "0"], "events.rabbitmq.url", status: 2,
          environment: ["MARTLET_EVENTS_RABBITMQ_URL": "http://rabbit"])
        try await scene.refuses(
          ["serve", "--port", "0"], "must stay all", status: 2,
          environment: ["MARTLET_EVENTS_KAFKA_BROKERS": "localhost:9", "MARTLET_EVENTS_KAFKA_PROPERTIES": "acks=1"])
        try await scene.refuses(
          ["dead-letters", "consume", "--from", "kafka"], "events.kafka.brokers is not set", status: 2)
      }
    }

    private static func submit(_ count: Int, to server: Server) async throws -> [String] {
      var ids: [String] = []
      for number in 0..<count { ids.append(try await server.api.submit(mixed[number % mixed.count])) }
      return ids
    }

    /// Entries of all sinks.
    private static func waiting(_ server: Server) async throws -> Int {
      try await server.api.get("/metrics").text.split(separator: "\n")
        .filter { $0.hasPrefix("martlet_outbox_events{") }
        .reduce(0) { $0 + (Double($1.split(separator: " ").last ?? "") ?? 0) }.asInt
    }

    /// The tasks of the dead letters that are there, each once or more.
    private static func consume(_ broker: String, _ scene: Scene, _ environment: [String: String]) async throws
      -> [String]
    {
      let (ending, program) = try await scene.martlet(
        ["dead-letters", "consume", "--from", broker, "--until-empty"], environment: environment)
      #expect(ending == .exited(0), "\(program.errors)")
      return try program.output.split(separator: "\n").compactMap {
        try JSONScanner.scan(Array($0.utf8))["subject"]?.string
      }
    }
  }
}

extension Double {
  fileprivate var asInt: Int { Int(self) }
}
