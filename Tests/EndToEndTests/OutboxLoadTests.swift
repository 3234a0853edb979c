// Eight writers, and a relay that is killed at random: of everything that was acknowledged Kafka hears every event, in order.
// MARTLET_OUTBOX_EVENTS says how many (`make chaos`: 50,000, and more kills), MARTLET_OUTBOX_SEED repeats the choices of a run.

internal import Foundation
internal import KafkaBroker
internal import MartletCore
internal import PostgresServer
internal import Synchronization
internal import Testing

extension EndToEnd {
  @Suite("The outbox under load")
  struct OutboxLoadTests {
    private static let writers = 8
    private static let batch = 50
    /// A task that succeeds at once is told of in four.
    private static let eventsOfTask = 4

    @Test func `nothing is missing and nothing out of order, though the relay is killed at random`() async throws {
      let wanted = ProcessInfo.processInfo.environment["MARTLET_OUTBOX_EVENTS"].flatMap { Int($0) } ?? 6000
      // Of each writer.
      let tasks = (wanted + Self.eventsOfTask * Self.writers - 1) / (Self.eventsOfTask * Self.writers)
      var random = SplitMix(seed: SplitMix.seed(from: "MARTLET_OUTBOX_SEED"))
      try await Scene.play { scene in
        let kafka = try await SmallKafka.start()
        let database = try await DatabaseServer(on: try await scene.postgres())
        let settings = ["MARTLET_EVENTS_KAFKA_BROKERS": kafka.brokers.joined(separator: ",")]
        let taker = Node(
          "taker", roles: "api,scheduler,worker", database: database.url, executable: "martlet", in: scene)
        let relays = ["relay 1", "relay 2"].map {
          Node($0, roles: "api,notifier", database: database.url, executable: "martlet", in: scene)
        }
        try await taker.start()
        for relay in relays { try await relay.start(settings) }
        try await eventually("a relay attends") { try await Self.teller(relays) != nil }

        let api = try #require(taker.api)
        let all = tasks * Self.writers * Self.eventsOfTask
        // Early enough that there is more to come whenever the relay has caught up.
        let first = Int.random(in: 1...all / 4, using: &random)
        var killsAtWork = try await withThrowingTaskGroup(of: Bool.self) { group in
          for _ in 0..<Self.writers {
            group.addTask {
              try await Self.write(tasks, to: api)
              return false
            }
          }
          group.addTask {
            try await Self.killTeller(relays, settings, database) { told, waiting in
              told < first || waiting == 0 && told < all
            }
          }
          return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        try await api.allAreAtRest()
        // Each that takes over dies in the middle of what is left to tell.
        let furtherKills = wanted < 20_000 ? 0 : 3
        for _ in 0..<furtherKills {
          let most = try await Self.waiting(database)
          let left = Int.random(in: 0...most, using: &random)
          let wasAtWork = try await Self.killTeller(relays, settings, database) { _, waiting in waiting > left }
          if wasAtWork { killsAtWork += 1 }
        }
        try await eventually("all is told", within: .seconds(900)) { try await Self.waiting(database) == 0 }

        let lengths = try await database.query("SELECT id, sequence FROM martlet.task_runs")
        #expect(lengths.count == tasks * Self.writers)
        var heard: [String: [Int]] = [:]
        var repeated = 0
        for record in try await KafkaContents.of("martlet.events", at: kafka.brokers).records {
          let sequence = try #require(Int(record.headers["ce_sequence"] ?? ""))
          if heard[record.key, default: []].contains(sequence) {
            repeated += 1
          } else {
            heard[record.key, default: []].append(sequence)
          }
        }
        var faults: [String] = []
        for row in lengths {
          let (id, length) = (row[0], try #require(Int(row[1])))
          if heard[id] != Array(1...length) { faults.append("\(id): \(heard[id] ?? []) of \(length)") }
        }
        Chaos.report(
          // One that dies with nothing left to tell is no fault.
          [("kills of the relay that told, with entries waiting", killsAtWork)],
          checked: [
            ("events", heard.values.reduce(0) { $0 + $1.count }), ("tasks", lengths.count), ("told twice", repeated),
          ])
        #expect(faults.prefix(5) == [])
        #expect(heard.count == lengths.count)
        for node in [taker] + relays { #expect(try await node.stop() == .exited(0)) }
        await kafka.remove()
      }
    }

    private static func write(_ count: Int, to api: API) async throws {
      var left = count
      while left > 0 {
        let tasks = [String](
          repeating: #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}"#, count: min(left, batch))
        let reply = try await api.post("/tasks/batch", #"{"tasks": [\#(tasks.joined(separator: ","))]}"#)
        guard reply.status == 201 else { throw API.Unexpected(reply: reply) }
        left -= tasks.count
      }
    }

    /// Kills whoever delivers, once `isTooEarly` of what was told and what waits is over, and starts it again.
    /// - Returns: whether entries were waiting right before and right after.
    private static func killTeller(
      _ relays: [Node], _ settings: [String: String], _ database: DatabaseServer, while isTooEarly: (Int, Int) -> Bool
    ) async throws -> Bool {
      let teller = try await eventually("it is time, and somebody tells", within: .seconds(900)) {
        () async throws -> Node? in
        let waiting = try await Self.waiting(database)
        let told = try await Self.told(database)
        return isTooEarly(told, waiting) ? nil : try await Self.teller(relays)
      }
      let before = try await Self.waiting(database)
      try await teller.kill()
      let after = try await Self.waiting(database)
      try await teller.start(settings)
      return before > 0 && after > 0
    }

    private static func teller(_ relays: [Node]) async throws -> Node? {
      for relay in relays where relay.isAlive {
        guard let ready = try? await relay.api?.get("/health/ready").json() else { continue }
        let kafka = ready["components"]?.elements?.first { $0["name"]?.string == "kafka" }
        if let kafka, kafka["detail"]?.string == nil { return relay }
      }
      return nil
    }

    private static func waiting(_ database: DatabaseServer) async throws -> Int {
      try await database.number("SELECT count(*) FROM martlet.outbox")
    }

    /// Entries that were told of.
    private static func told(_ database: DatabaseServer) async throws -> Int {
      try await database.number(
        """
        SELECT coalesce((SELECT sum(sequence) FROM martlet.task_runs), 0)
          - (SELECT coalesce(sum(last - first + 1), 0) FROM martlet.outbox)
        """)
    }
  }
}
