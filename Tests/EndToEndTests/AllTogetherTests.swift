// Everything on at once: two nodes over PostgreSQL, Redis beside it, both brokers, a mail server, a receiver of webhooks, somebody who
// listens to the stream. Each is killed in its turn under load. In the end every acknowledged task is final, and everybody has
// heard of everything.

internal import ChildProcess
internal import Foundation
internal import KafkaBroker
internal import MailServer
internal import MartletCore
internal import PostgresServer
internal import RabbitServer
internal import RedisServer
internal import ScriptedServer
internal import Synchronization
internal import Testing

extension EndToEnd {
  @Suite("All together", .timeLimit(.minutes(30)))
  struct AllTogetherTests {
    @Test func `whatever is killed in its turn, every acknowledged task ends and everybody hears of it`() async throws {
      try await Scene.play { scene in
        let hooks = Hooks()
        try await ScriptedServer.serving({ request, _ in hooks.answer(to: request) }) { receiver in
          let stage = try await Stage.start(in: scene, hooks)
          do {
            try await Self.play(stage, receiver.address)
          } catch {
            await stage.remove()
            throw error
          }
          await stage.remove()
        }
      }
    }

    private static func play(_ stage: Stage, _ receiver: String) async throws {
      for node in stage.nodes { try await node.start(stage.settings) }
      try await stage.relaysAttend()
      let witness = StreamWitness(after: "0") { stage.nodes.filter(\.isAlive).compactMap(\.api?.address) }
      let load = Load(pause: .milliseconds(40)) { task($0, telling: receiver) }
      try await witness.listening {
        load.aim(at: stage.nodes.compactMap(\.api))
        try await load.run(clients: 3) { try await trouble(stage, load) }
        try await eventually("all tasks are final") { try await stage.database.restless() == 0 }
        try await eventually("all events are told") {
          try await stage.database.number("SELECT count(*) FROM martlet.outbox") == 0
        }
        let last = try await stage.database.number("SELECT last FROM martlet.stream_place")
        try await eventually("the stream is heard to its end") { witness.events.last?.position ?? 0 >= last }
      }
      let api = try #require(stage.nodes[0].api)
      try await allNoticesArrive(api)

      let histories = try await histories(api)
      let journal = load.journal.book
      #expect(journal.faults.prefix(5) == [])
      #expect(Set(journal.acknowledged.keys).isSubset(of: Set(histories.keys)), "what was acknowledged is there")
      #expect(journal.acknowledged.count > 100)
      let dead = Set(histories.filter { $0.value.last?.hasSuffix("dead") == true }.keys)
      #expect(dead.count > 20)
      try await check(stage, witness, histories)
      for broker in ["kafka", "rabbitmq"] {
        #expect(try await stage.deadLetters(from: broker) == dead, "\(broker)")
      }
      try await check(stage, notices: try await notices(api), histories)
      for node in stage.nodes { #expect(try await node.stop() == .exited(0)) }
    }

    /// Each in its turn; meanwhile, and afterwards, tasks are accepted as before.
    private static func trouble(_ stage: Stage, _ load: Load) async throws {
      try await goesOn(load)
      await stage.redis.kill()
      try await goesOn(load)
      try await stage.redis.startAgain()

      await stage.kafka.stop()
      try await goesOn(load)
      try await stage.kafka.startAgain()

      // A quorum queue of RabbitMQ 3.10 that is killed before it has ever held a message finds no leader afterwards.
      try await eventually("dead letters are in the queue") {
        try await stage.rabbit.control("list_queues", "messages").split(separator: "\n").contains { Int($0) ?? 0 > 3 }
      }
      await stage.rabbit.kill()
      try await goesOn(load)
      try await stage.rabbit.startAgain()

      stage.hooks.isDown = true
      try await goesOn(load)
      stage.hooks.isDown = false

      await stage.mail.stop()
      try await goesOn(load)
      try await stage.mail.startAgain()

      try await stage.database.server.stop(.immediate)
      try await eventually("it is missed") { load.journal.book.unavailable > 0 }
      try await stage.database.server.startAgain()
      try await goesOn(load)

      for node in stage.nodes {
        try await node.kill()
        try await goesOn(load)
        try await node.start(stage.settings)
        load.aim(at: stage.nodes.compactMap(\.api))
      }
      try await goesOn(load)
    }

    private static func goesOn(_ load: Load) async throws {
      let goal = load.journal.acknowledged + 20
      try await eventually("tasks are accepted") { load.journal.acknowledged >= goal }
    }

    private static func task(_ number: Int, telling receiver: String) -> String {
      let work = [
        #""type": "FAIL_SOMETIMES", "payload": {"probability": 0}"#,
        #""type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 1, "backoff": {"baseSeconds": 0.1}"#,
        #""type": "DELAYED_MESSAGE", "payload": {"message": "so"}, "delaySeconds": 0.3"#,
      ][number % 3]
      return """
        {\(work), "metadata": {"number": "\(number)"},
         "notify": [{"webhook": "\(receiver)/hook"}, {"email": "ops@example.com"}]}
        """
    }

    // MARK: What everybody has heard

    /// By task: its events' types, in order.
    private static func histories(_ api: API) async throws -> [String: [String]] {
      var histories: [String: [String]] = [:]
      for task in try await api.allTasks() {
        guard let id = task["id"]?.string else { continue }
        histories[id] = try await api.events(of: id).compactMap { $0["type"]?.string }
      }
      return histories
    }

    private static func check(_ stage: Stage, _ witness: StreamWitness, _ histories: [String: [String]]) async throws {
      let heard = witness.events
      #expect(heard.map(\.position) == Array(1...max(1, heard.count)), "every position once, in order")
      let streamed = Dictionary(grouping: heard, by: \.task).mapValues { $0.map(\.sequence) }
      var sent: [String: [Int]] = [:]
      for record in try await KafkaContents.of("martlet.events", at: stage.kafka.brokers).records {
        let sequence = try #require(Int(record.headers["ce_sequence"] ?? ""))
        if sent[record.key]?.contains(sequence) != true { sent[record.key, default: []].append(sequence) }
      }
      for (id, history) in histories {
        let whole = Array(1...max(1, history.count))
        #expect(streamed[id] == whole, "the stream, \(id)")
        #expect(sent[id] == whole, "Kafka, \(id)")
      }
    }

    private static func notices(_ api: API) async throws -> [JSONSlice] {
      var all: [JSONSlice] = []
      var cursor = ""
      while true {
        let page = try await api.found("/notifications?limit=1000\(cursor)")
        all += page["data"]?.elements ?? []
        guard let next = page["nextCursor"]?.string else { return all }
        cursor = "&cursor=\(next)"
      }
    }

    /// What has failed while its receiver was away would be tried again after a pause: it is sent again by hand.
    private static func allNoticesArrive(_ api: API) async throws {
      try await eventually("no notice waits for its first try") {
        try await notices(api).allSatisfy { $0["status"]?.string != "PENDING" || $0["attempts"]?.int != 0 }
      }
      for notice in try await notices(api) where notice["status"]?.string == "PENDING" {
        let id = notice["id"]?.string ?? ""
        let reply = try await api.post("/notifications/\(id)/resend")
        #expect(reply.status == 200, "\(reply.text)")
      }
      try await eventually("all notices arrive") {
        try await notices(api).allSatisfy { $0["status"]?.string == "DELIVERED" }
      }
    }

    private static func check(
      _ stage: Stage, notices: [JSONSlice], _ histories: [String: [String]]
    ) async throws {
      func ids(_ channel: String) -> Set<String> {
        Set(notices.filter { $0["channel"]?.string == channel }.compactMap { $0["id"]?.string })
      }
      let byTask = Dictionary(grouping: notices) { $0["taskId"]?.string ?? "" }
      #expect(Set(byTask.keys) == Set(histories.keys))
      #expect(byTask.values.allSatisfy { $0.count == 2 }, "one by webhook, one by mail")
      #expect(stage.hooks.taken == ids("webhook"))
      let mails = try stage.mail.mails.map(\.messageID)
      #expect(Set(mails) == Set(ids("email").map { "<\($0)@martlet>" }))
    }

    // MARK: The stage

    /// Takes webhooks, but while it is down.
    private final class Hooks: Sendable {
      private let state = Mutex((isDown: false, taken: Set<String>()))

      var isDown: Bool {
        get { state.withLock(\.isDown) }
        set { state.withLock { $0.isDown = newValue } }
      }
      /// Ids of notices.
      var taken: Set<String> { state.withLock(\.taken) }

      func answer(to request: ScriptedRequest) -> ScriptedAnswer {
        state.withLock { state in
          guard !state.isDown else { return .hangUp }
          state.taken.insert(request.headers["webhook-id"] ?? "none")
          return .json(200, "{}")
        }
      }
    }

    /// A mail server that comes back at its port.
    private final class Mail: Sendable {
      let port: Int
      private let lives: Mutex<[MailServer]>

      init() async throws {
        // Not one of those that the system gives to whoever asks while it is away.
        let server = try await MailServer.start(port: freePort())
        port = server.port
        lives = Mutex([server])
      }

      func stop() async { await lives.withLock(\.last)?.stop() }

      func startAgain() async throws {
        let server = try await MailServer.start(port: port)
        lives.withLock { $0.append(server) }
      }

      var mails: [ReceivedMail] {
        get throws { try lives.withLock(\.self).flatMap { try $0.mails } }
      }
    }

    private struct Stage: Sendable {
      let scene: Scene
      let nodes: [Node]
      let database: DatabaseServer
      let redis: RedisServer
      let kafka: SmallKafka
      let rabbit: RabbitServer
      let mail: Mail
      let hooks: Hooks

      static func start(in scene: Scene, _ hooks: Hooks) async throws -> Stage {
        let database = try await DatabaseServer(on: try await scene.postgres())
        let nodes = ["one", "two"].map {
          Node($0, roles: "api,scheduler,worker,notifier", database: database.url, executable: "martlet", in: scene)
        }
        return Stage(
          scene: scene, nodes: nodes, database: database, redis: try await RedisServer.start(),
          kafka: try await SmallKafka.start(), rabbit: try await RabbitServer.start(), mail: try await Mail(),
          hooks: hooks)
      }

      func remove() async {
        await redis.remove()
        await kafka.remove()
        await rabbit.remove()
        await mail.stop()
      }

      var settings: [String: String] {
        [
          "MARTLET_REDIS_URL": redis.url(), "MARTLET_EVENTS_STREAM_SECONDS": "3600",
          "MARTLET_EVENTS_KAFKA_BROKERS": kafka.brokers.joined(separator: ","),
          "MARTLET_EVENTS_RABBITMQ_URL": rabbit.url(), "MARTLET_NOTIFICATIONS_SMTP_HOST": "127.0.0.1",
          "MARTLET_NOTIFICATIONS_SMTP_PORT": "\(mail.port)", "MARTLET_NOTIFICATIONS_SMTP_TLS": "none",
          "MARTLET_NOTIFICATIONS_EMAIL_FROM": "Martlet <martlet@example.com>",
        ]
      }

      /// Before the first task, so that no event is before their time.
      func relaysAttend() async throws {
        try await eventually("the relays attend") {
          let metrics = try await nodes[0].api?.get("/metrics").text ?? ""
          return ["kafka", "rabbitmq", "stream"].allSatisfy {
            metrics.contains("martlet_outbox_events{sink=\"\($0)\"}")
          }
        }
      }

      func deadLetters(from broker: String) async throws -> Set<String> {
        let (ending, program) = try await scene.martlet(
          ["dead-letters", "consume", "--from", broker, "--until-empty"], environment: settings)
        #expect(ending == .exited(0), "\(program.errors)")
        return Set(
          try program.output.split(separator: "\n").compactMap {
            try JSONScanner.scan(Array($0.utf8))["subject"]?.string
          })
      }
    }
  }
}
