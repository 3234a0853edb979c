// The event stream from outside: whoever listens, and comes back where it was when nodes are killed, hears everything once and in order.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Synchronization
internal import Testing

extension EndToEnd {
  @Suite("The event stream")
  struct StreamTests {
    private static let settings = ["MARTLET_EVENTS_STREAM_SECONDS": "3600"]
    private static let tasks = [
      #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}"#,
      #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 1, "backoff": {"baseSeconds": 0.1}}"#,
      #"{"type": "DELAYED_MESSAGE", "payload": {"message": "so"}, "delaySeconds": 0.3}"#,
    ]

    @Test(arguments: ["sqlite", "postgres"])
    func
      `who comes back with Last-Event-ID hears every event once, though the node that tells them is killed under load`(
        database: String
      ) async throws
    {
      try await Scene.play { scene in
        let isShared = database == "postgres"
        let url = isShared ? try await scene.postgres().url() : "sqlite:martlet.db"
        let nodes = (isShared ? ["one", "two"] : ["one"]).map {
          Node($0, roles: "api,scheduler,worker,notifier", database: url, executable: "martlet", in: scene)
        }
        for node in nodes { try await node.start(Self.settings) }
        try await eventually("the relay attends") { try await Self.teller(nodes) != nil }

        let witness = StreamWitness(after: "0") { nodes.filter(\.isAlive).compactMap(\.api?.address) }
        let load = Submissions()
        try await witness.listening {
          try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<2 {
              group.addTask {
                var number = writer
                while load.goOn {
                  number += 1
                  // Who is just being killed takes nothing, or does not say so: only what was acknowledged is counted on.
                  if let id = try? await nodes[number % nodes.count].api?.submit(Self.tasks[number % Self.tasks.count])
                  {
                    load.accepted(id)
                  }
                  try await Task.sleep(for: .milliseconds(20))
                }
              }
            }
            for _ in 0..<2 {
              let before = witness.events.count
              try await eventually("the stream goes on") { witness.events.count > before + 40 }
              let teller = try await eventually("somebody tells") { try await Self.teller(nodes) }
              try await teller.kill()
              try await teller.start(Self.settings)
            }
            let before = witness.events.count
            try await eventually("the stream goes on") { witness.events.count > before + 40 }
            // And the one to which it listens, which may have been neither.
            let place = try await eventually("it listens to one that lives") {
              nodes.first { $0.api?.address == witness.address }
            }
            try await place.kill()
            try await place.start(Self.settings)
            let last = witness.events.count
            try await eventually("the stream goes on") { witness.events.count > last + 40 }
            load.stop()
            try await group.waitForAll()
          }
          let api = try #require(nodes[0].api)
          try await api.allAreAtRest()
          let expected = try await Self.histories(api)
          try await eventually("all is told") { witness.events.count >= expected.values.reduce(0) { $0 + $1.count } }

          let heard = witness.events
          #expect(heard.map(\.position) == Array(1...heard.count), "every position once, in order")
          #expect(Set(heard.map(\.id)).count == heard.count, "no event has two positions")
          let byTask = Dictionary(grouping: heard, by: \.task)
          for (id, history) in expected {
            #expect(byTask[id]?.map { "\($0.sequence) \($0.type)" } == history, "\(id)")
          }
          #expect(Set(load.ids).isSubset(of: Set(byTask.keys)))
          #expect(witness.refusals == [])
          #expect(witness.connections >= 2)
        }
        for node in nodes { #expect(try await node.stop() == .exited(0)) }
      }
    }

    private final class Submissions: Sendable {
      private let state = Mutex((ids: [String](), goOn: true))

      var ids: [String] { state.withLock(\.ids) }
      var goOn: Bool { state.withLock(\.goOn) }
      func accepted(_ id: String) { state.withLock { $0.ids.append(id) } }
      func stop() { state.withLock { $0.goOn = false } }
    }

    /// The node that delivers now, if they can tell.
    private static func teller(_ nodes: [Node]) async throws -> Node? {
      for node in nodes where node.isAlive {
        guard let ready = try? await node.api?.get("/health/ready").json() else { continue }
        let stream = ready["components"]?.elements?.first { $0["name"]?.string == "stream" }
        if let stream, stream["detail"]?.string == nil { return node }
      }
      return nil
    }

    /// By task, what its history tells.
    private static func histories(_ api: API) async throws -> [String: [String]] {
      var histories: [String: [String]] = [:]
      for task in try await api.allTasks() {
        guard let id = task["id"]?.string else { continue }
        histories[id] = try await api.events(of: id).map { event in
          "\(event["sequence"]?.int ?? 0) \(event["type"]?.string ?? "")"
        }
      }
      return histories
    }

    @Test func `a node that stops ends its streams at once, and one that is not to keep any says so`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve(environment: Self.settings)
        let witness = StreamWitness { [server.api.address] }
        try await witness.listening {
          try await eventually("it listens") { witness.connections == 1 }
          #expect(try await server.stop() == .exited(0))
        }
        let other = try await scene.serve(["--database", "sqlite:other.db"])
        let refused = try await other.api.get("/events/stream")
        #expect(refused.status == 409)
        #expect(try refused.json()["code"]?.string == "stream-off")
        #expect(try await other.stop() == .exited(0))
      }
    }

    @Test(arguments: [true, false])
    func `tasks follow tells a task's story, with the stream and without`(isOn: Bool) async throws {
      try await Scene.play { scene in
        let server = try await scene.serve(environment: isOn ? Self.settings : [:])
        // Nothing is over before anybody follows.
        #expect(try await server.api.patch("/queues/default", #"{"paused": true}"#).status == 200)
        let id = try await server.api.submit(
          #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 1, "backoff": {"baseSeconds": 1, "jitter": 0}}"#
        )
        let program = try scene.start(
          Tool.built("martlet"), ["tasks", "follow", id], environment: ["MARTLET_SERVER": server.api.address])
        try await eventually("it has asked for the stream") {
          try #require(program.hasEnded == nil, "\(program.errors)")
          let metrics = try await server.api.get("/metrics").text
          return metrics.contains(#"route="/events/stream",status="\#(isOn ? 200 : 409)""#)
        }
        #expect(try await server.api.patch("/queues/default", #"{"paused": false}"#).status == 200)
        let ending = try await program.ended()
        #expect(ending == .exited(1))
        let words = program.output.split(separator: "\n").filter { $0.hasPrefix("20") }.compactMap {
          $0.split(separator: " ").dropFirst().first.map(String.init)
        }
        #expect(
          words == ["received", "ready", "started", "failed", "retry", "ready", "started", "failed", "dead"],
          "\(program.output)")
        #expect(program.errors == "")
        #expect(try await server.stop() == .exited(0))
      }
    }
  }
}
