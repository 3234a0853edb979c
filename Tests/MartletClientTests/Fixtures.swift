// What the suites of this target share: answers in the server's words, and a clock that only moves when it is told to.

internal import MartletClient
internal import ScriptedServer
internal import Synchronization

enum Fixtures {
  static let id = TaskID("0190a7c4-5e1b-7cc3-98c4-dc0c0c07398f")!

  static func task(status: String = "READY", _ more: String = "") -> String {
    """
    {"id":"\(id)","type":"resize","queue":"default","status":"\(status)","priority":5,"attempt":0,"maxAttempts":4,\
    "retriesLeft":4,"createdAt":"2026-02-01T10:00:00.000Z","updatedAt":"2026-02-01T10:00:00.000Z"\(more)}
    """
  }
}

/// Time that passes only in pauses and when a test says so.
final class FakeTime: Sendable {
  private let state = Mutex((elapsed: Duration.zero, pauses: [Duration]()))
  private let start = ContinuousClock.now

  var pauses: [Duration] { state.withLock { $0.pauses } }

  func advance(by duration: Duration) {
    state.withLock { $0.elapsed += duration }
  }

  var clock: ClientClock {
    ClientClock(
      now: { self.start + self.state.withLock { $0.elapsed } },
      pause: { duration in
        try Task.checkCancellation()
        self.state.withLock { state in
          state.elapsed += duration
          state.pauses.append(duration)
        }
      })
  }
}

/// Runs `body` with a client of a scripted server, on fake time.
func withClient(
  credential: MartletClient.Credential = .none, options: MartletClient.Options = MartletClient.Options(),
  time: FakeTime = FakeTime(), script: @escaping ScriptedServer.Script,
  _ body: (MartletClient, ScriptedServer) async throws -> Void
) async throws {
  try await ScriptedServer.serving(script) { server in
    try await MartletClient.withClient(server: server.address, credential: credential, options: options) { client in
      var client = client
      client.clock = time.clock
      try await body(client, server)
    }
  }
}
