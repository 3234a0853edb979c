// From the embedded database to PostgreSQL with the real programs: whatever state tasks are in when their server is killed, they go on
// on the other side, and clients see no difference.

internal import Foundation
internal import MartletCore
internal import NIOHTTP1
internal import PostgresServer
internal import ScriptedServer
internal import Synchronization
internal import Testing

extension EndToEnd {
  @Suite("Transfer")
  struct TransferTests {
    private static let settings = [
      "MARTLET_AUTH_API_KEYS": "true", "MARTLET_NETWORK_ALLOW_PRIVATE_TARGETS": "true",
      "MARTLET_DATABASE_DURABILITY": "relaxed",
    ]

    @Test func `tasks of every kind run on from PostgreSQL after their server was killed`() async throws {
      try await Scene.play { scene in
        let isMended = Mutex(false)
        let script: ScriptedServer.Script = { request, _ in
          let works = isMended.withLock(\.self)
          if request.target == "/parent", !works { return .json(410, "{}") }
          if request.target == "/hangs", !works { return .silence }
          return .json(200, #"{"done":true}"#)
        }
        try await ScriptedServer.serving(script) { target in
          try await Self.transferAndGoOn(scene, target.address) { isMended.withLock { $0 = true } }
        }
      }
    }

    private static func transferAndGoOn(_ scene: Scene, _ target: String, mend: () -> Void) async throws {
      let database = try await DatabaseServer(on: PostgresServer.shared)
      let file = "sqlite:\(scene.file("martlet.db").path)"
      let made = try await scene.martlet(["keys", "create", "boss", "--role", "admin", "--database", file])
      #expect(made.ending == .exited(0))
      let key = made.program.output.trimmingCharacters(in: .whitespacesAndNewlines)

      var old = try await scene.serve(["--database", file], environment: settings)
      old = Server(program: old.program, api: API(address: old.api.address, key: key))
      let tasks = try await Tasks(on: old.api, calling: target)
      let finals = try await Self.story(of: tasks.final, old.api)
      let schedule = try await old.api.found("/schedules/hourly?next=5")
      let audit = try await old.api.found("/audit?limit=1000")["data"]?.elements?.count ?? 0

      let again = ["transfer", "--from", file, "--to", database.url]
      try await scene.refuses(again, "is already served by another martlet", environment: settings)
      try await old.kill()
      let transfer = try await scene.martlet(again + ["--json"], environment: settings)
      #expect(transfer.ending == .exited(0), "\(transfer.program.errors)")
      let report = try JSONScanner.scan(Array(transfer.program.output.utf8))
      #expect(report["tables"]?.elements?.first { $0["name"]?.string == "tasks" }?["rows"]?.int == tasks.count)
      try await scene.refuses(again, "is not empty", environment: settings)

      mend()
      let server = try await scene.serve(
        environment: settings.merging(["MARTLET_DATABASE_URL": database.url]) { $1 })
      let api = API(address: server.api.address, key: key)
      try await scene.refuses(again, "is being served", environment: settings)

      // What had ended is told in the same bytes.
      #expect(try await Self.story(of: tasks.final, api) == finals)
      // The key replays, for one task and for a batch.
      let replay = try await api.post("/tasks", Tasks.keyed)
      #expect(replay.status == 200)
      #expect(replay.headers.first(name: "Idempotent-Replayed") == "true")
      #expect(try replay.json()["id"]?.string == tasks.keyed)
      let other = try await api.post("/tasks", Tasks.keyed.replacing("\"n\":1", with: "\"n\":2"))
      #expect(other.status == 422)
      // Without the key nothing is told.
      #expect(try await API(address: server.api.address).get("/tasks").status == 401)
      // The schedule's next runs, its definition, and who made it.
      let now = try await api.found("/schedules/hourly?next=5")
      #expect(now.bytes == schedule.bytes)
      #expect(try await api.found("/audit?limit=1000")["data"]?.elements?.count == audit)
      #expect(try await api.found("/queues/slow")["paused"]?.bool == true)

      // A worker elsewhere held a lease all the while.
      let finish = try await api.post(
        "/leases/finish", #"{"results":[{"leaseId":"\#(tasks.leaseID)","outcome":"SUCCESS","result":{"ok":1}}]}"#)
      #expect(try finish.json()["data"]?.elements?.first?["state"]?.string == "APPLIED", "\(finish.text)")
      // What the killed server ran is taken back when its lease has ended, and made again.
      try await api.task(tasks.running, becomes: "SUCCESS")
      let outcomes = try await api.outcomes(of: tasks.running)
      #expect(outcomes.areSuccessAfterLost, "\(outcomes)")
      // The dead parent is mended, and its graph goes on to its end.
      #expect(try await api.task(tasks.child)["status"]?.string == "PENDING")
      #expect(try await api.post("/tasks/\(tasks.parent)/retry").status == 200)
      try await api.task(tasks.grandchild, becomes: "SUCCESS")
      let graph = try #require(try await api.task(tasks.child)["graphId"]?.string)
      #expect(try await api.found("/graphs/\(graph)")["tasks"]?.elements?.count == 3)
      // What waited for its time, or out its backoff, is run when that has come.
      #expect(try await api.task(tasks.retry)["status"]?.string == "RETRY")
      #expect(try await api.post("/tasks/\(tasks.retry)/retry").status == 200)
      try await eventually("another attempt") { try await api.attempts(of: tasks.retry).count >= 2 }
      #expect(try await api.task(tasks.delayed)["status"]?.string == "PENDING")
      #expect(try await api.patch("/tasks/\(tasks.delayed)", #"{"availableAt":"2026-01-01T00:00:00Z"}"#).status == 200)
      try await api.task(tasks.delayed, becomes: "SUCCESS")
      // New ones are taken, and counted with the old ones.
      let new = try await api.submit(#"{"type":"DELAYED_MESSAGE","payload":{"message":"new"}}"#)
      try await api.task(new, becomes: "SUCCESS")
      #expect(try await database.faults() == [])
      #expect(try await server.stop() == .exited(0))
    }

    /// All that the API says of some tasks.
    private static func story(of ids: [String], _ api: API) async throws -> [String] {
      var story: [String] = []
      for id in ids {
        for path in ["/tasks/\(id)", "/tasks/\(id)/attempts", "/tasks/\(id)/events"] {
          let reply = try await api.get(path)
          #expect(reply.status == 200)
          story.append(reply.text)
        }
      }
      return story
    }

    @Test func `a transfer that is killed is recognised, and begun anew`() async throws {
      try await Scene.play { scene in
        let file = "sqlite:\(scene.file("martlet.db").path)"
        let old = try await scene.serve(["--database", file, "--roles", "api"])
        for batch in 0..<6 {
          let tasks = (0..<1000).map { #"{"type":"later","delaySeconds":86400,"payload":{"n":\#(batch * 1000 + $0)}}"# }
          let reply = try await old.api.post("/tasks/batch", #"{"tasks":[\#(tasks.joined(separator: ","))]}"#)
          #expect(reply.status == 201)
        }
        #expect(try await old.stop() == .exited(0))

        let settings = ["MARTLET_DATABASE_DURABILITY": "relaxed"]
        // It may be over before it can be killed: then once more, to another database.
        var begun: DatabaseServer?
        for _ in 0..<5 where begun == nil {
          let database = try await DatabaseServer(on: PostgresServer.shared)
          let killed = try scene.start(
            Tool.built("martlet"), ["transfer", "--from", file, "--to", database.url], environment: settings)
          try await eventually("tasks are being copied") {
            guard killed.hasEnded == nil else { return true }
            let there = try await database.number("SELECT count(*) FROM pg_class WHERE relname = 'transfers'")
            guard there == 1 else { return false }
            return try await database.number("SELECT count(*) FROM martlet.task_runs") > 0
          }
          killed.signal(SIGKILL)
          let ending = try await killed.ended()
          #expect([Ending.killed(SIGKILL), .exited(0)].contains(ending), "\(killed.errors)")
          let open = try await database.number("SELECT count(*) FROM martlet.transfers WHERE ended_at IS NULL")
          if ending == .killed(SIGKILL), open == 1 { begun = database }
        }
        let database = try #require(begun, "it was over before it could be killed")
        let arguments = ["transfer", "--from", file, "--to", database.url]

        try await scene.refuses(
          ["serve", "--port", "0", "--database", database.url], "incomplete transfer", environment: settings)
        try await scene.refuses(arguments, "--restart", environment: settings)
        let again = try await scene.martlet(arguments + ["--restart"], environment: settings)
        #expect(again.ending == .exited(0), "\(again.program.errors)")
        let server = try await scene.serve(["--database", database.url, "--roles", "api"], environment: settings)
        #expect(try await server.api.allTasks().count == 6000)
        #expect(try await database.faults() == [])
      }
    }
  }
}

/// Tasks in every state, on a server that is about to be killed.
private struct Tasks {
  var final: [String] = []
  let keyed: String
  let delayed: String
  let retry: String
  let running: String
  let parent: String
  let child: String
  let grandchild: String
  let leaseID: String
  var count: Int

  static let keyed =
    #"{"type":"DELAYED_MESSAGE","payload":{"message":"é","n":1},"idempotencyKey":"order-42","delaySeconds":86400}"#

  init(on api: API, calling target: String) async throws {
    let pause = try await api.patch("/queues/slow", #"{"paused":true,"maxDepth":500}"#)
    guard pause.status == 200 else { throw API.Unexpected(reply: pause) }
    let schedule = try await api.post(
      "/schedules",
      #"{"name":"hourly","cron":"17 3 1 1 *","timeZone":"Europe/Berlin","task":{"type":"DELAYED_MESSAGE","payload":{"message":"x"}}}"#
    )
    guard schedule.status == 201 else { throw API.Unexpected(reply: schedule) }

    let done = try await api.submit(
      "{\"type\":\"SEND_EMAIL\",\"payload\":{ \"to\" : \"user@example.com\",\n\"subject\":\"Wëlcome\",\"content\":\"\\u0000\", \"n\":1.50},\"tags\":[\"a\"],\"metadata\":{\"k\":\"v\"}}"
    )
    try await api.task(done, becomes: "SUCCESS")
    let dead = try await api.submit(#"{"type":"FAIL_SOMETIMES","payload":{"probability":1},"retries":0}"#)
    try await api.task(dead, becomes: "DEAD")
    let cancelled = try await api.submit(#"{"type":"none-knows-it","queue":"slow"}"#)
    guard try await api.post("/tasks/\(cancelled)/cancel").status == 200 else { throw BadStart() }

    keyed = try await api.submit(Self.keyed)
    delayed = try await api.submit(
      #"{"type":"DELAYED_MESSAGE","payload":{"message":"later"},"delaySeconds":86400,"priority":9}"#)
    retry = try await api.submit(
      #"{"type":"FAIL_SOMETIMES","payload":{"probability":1},"retries":9,"backoff":{"strategy":"fixed","baseSeconds":86400,"maxSeconds":86400,"jitter":0}}"#
    )
    let graph = try await api.post(
      "/tasks/batch",
      #"""
      {"tasks":[
        {"type":"WEBHOOK_CALL","ref":"a","payload":{"url":"\#(target)/parent"}},
        {"type":"WEBHOOK_CALL","ref":"b","payload":{"url":"\#(target)/child"},"dependencies":["a"]},
        {"type":"WEBHOOK_CALL","ref":"c","payload":{"url":"\#(target)/child"},"dependencies":["b"],"concurrencyKey":"k"}]}
      """#)
    let members = try graph.json()["data"]?.elements?.compactMap { $0["id"]?.string } ?? []
    guard members.count == 3 else { throw API.Unexpected(reply: graph) }
    (parent, child, grandchild) = (members[0], members[1], members[2])
    try await api.task(parent, becomes: "DEAD")
    try await api.task(retry, becomes: "RETRY")

    let remote = try await api.submit(#"{"type":"elsewhere","leaseSeconds":600,"timeoutSeconds":600}"#)
    let lease = try await api.post("/leases", #"{"worker":"w","types":["elsewhere"],"queues":["default"],"limit":1}"#)
    let first = try lease.json()["leases"]?.elements?.first
    guard let id = first?["leaseId"]?.string, first?["task"]?["id"]?.string == remote else {
      throw API.Unexpected(reply: lease)
    }
    leaseID = id
    running = try await api.submit(
      #"{"type":"WEBHOOK_CALL","payload":{"url":"\#(target)/hangs","timeoutSeconds":200},"leaseSeconds":5,"timeoutSeconds":300,"retries":20,"backoff":{"strategy":"fixed","baseSeconds":0.1,"jitter":0}}"#
    )
    try await api.task(running, becomes: "RUNNING")
    final = [done, dead, cancelled]
    count = 11
  }

  struct BadStart: Error {}
}
