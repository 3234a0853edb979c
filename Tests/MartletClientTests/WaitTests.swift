// Waiting for a task's end by long polls.

internal import MartletClient
internal import ScriptedServer
internal import Testing

@Suite("Waiting")
struct WaitTests {
  @Test("a wait is long polls of at most 30 s, the last as short as the patience that is left")
  func patience() async throws {
    let time = FakeTime()
    try await withClient(
      time: time,
      script: { request, _ in
        // The server holds each poll as long as it was asked to.
        let seconds = request.target.split(separator: "=").last.flatMap { Double($0) } ?? 0
        time.advance(by: .seconds(seconds))
        return .json(200, Fixtures.task(status: "RUNNING"))
      }
    ) { client, server in
      let task = try await client.wait(for: Fixtures.id, upTo: .milliseconds(75_500))
      #expect(task.status == .running)
      let path = "/tasks/\(Fixtures.id)?waitSeconds="
      #expect(server.requests.map(\.target) == [path + "30", path + "30", path + "15.5"])
      #expect(time.pauses.isEmpty)
    }
  }

  @Test("a wait ends with the task")
  func end() async throws {
    let time = FakeTime()
    try await withClient(
      time: time,
      script: { _, number in
        time.advance(by: .seconds(30))
        return .json(200, Fixtures.task(status: number < 2 ? "READY" : "SUCCESS"))
      }
    ) { client, server in
      let answer = try await client.wait(for: Fixtures.id)
      #expect(answer.status == .success)
      #expect(server.requests.count == 3)
    }
  }

  @Test("a server that does not hold the poll is asked once a second")
  func impatientServer() async throws {
    let time = FakeTime()
    try await withClient(time: time, script: { _, _ in .json(200, Fixtures.task()) }) { client, server in
      _ = try await client.wait(for: Fixtures.id, upTo: .milliseconds(2500))
      #expect(time.pauses == [.seconds(1), .seconds(1), .milliseconds(500)])
      #expect(server.requests.count == 4)
    }
  }

  @Test("a wait outlives a restart of the server")
  func restart() async throws {
    let time = FakeTime()
    try await withClient(
      time: time,
      script: { _, number in
        number < 3 ? .hangUp : .json(200, Fixtures.task(status: "SUCCESS"))
      }
    ) { client, _ in
      let answer = try await client.wait(for: Fixtures.id)
      #expect(answer.status == .success)
      #expect(time.pauses.count == 3)
    }
  }
}
