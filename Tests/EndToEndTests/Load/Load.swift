// Clients that submit one task after the other and write down each answer. They go on while servers come and go.

internal import MartletCore
internal import NIOHTTP1
internal import Synchronization

final class Load: Sendable {
  let journal = Journal()
  /// The body of the task with a number; it carries the number in its metadata.
  private let body: @Sendable (Int) -> String
  /// Between two submissions of a client.
  private let pause: Duration
  private let state = Mutex(State())

  private struct State {
    var servers: [API] = []
    var isOver = false
  }

  init(pause: Duration = .zero, _ body: @escaping @Sendable (Int) -> String) {
    self.pause = pause
    self.body = body
  }

  /// Runs clients beside `scenario`, and lets them finish what they are at when it ends.
  func run<Result: Sendable>(clients: Int, beside scenario: () async throws -> Result) async throws -> Result {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for client in 0..<clients { group.addTask { try await self.submit(as: client) } }
      defer { state.withLock { $0.isOver = true } }
      return try await scenario()
    }
  }

  /// Where to submit; nil while there is no server.
  func aim(at server: API?) {
    aim(at: server.map { [$0] } ?? [])
  }

  /// Clients are spread over them, and change from one to the next with each task.
  func aim(at servers: [API]) {
    state.withLock { $0.servers = servers }
  }

  private func submit(as client: Int) async throws {
    var turn = client
    while true {
      let (servers, isOver) = state.withLock { ($0.servers, $0.isOver) }
      if isOver { return }
      guard !servers.isEmpty else {
        try await Task.sleep(for: .milliseconds(5))
        continue
      }
      turn += 1
      let answered = await submit(to: servers[turn % servers.count], body)
      if pause > .zero || !answered { try await Task.sleep(for: max(pause, .milliseconds(5))) }
    }
  }

  /// Submits one task, and writes down the answer.
  /// - Returns: whether the server may have heard of it.
  @discardableResult
  func submit(to server: API, _ body: (Int) -> String) async -> Bool {
    let number = journal.nextNumber()
    do {
      note(try await server.post("/tasks", body(number)), of: number)
      return true
    } catch {
      let neverArrived = API.neverArrived(error)
      journal.note { book in
        if neverArrived { book.refused += 1 } else { book.unknown.insert(number) }
      }
      return !neverArrived
    }
  }

  private func note(_ reply: Reply, of number: Int) {
    let json = try? reply.json()  // what is no JSON is a fault, below
    journal.note { book in
      switch (reply.status, json?["id"]?.string) {
      case (201, let id?):
        book.acknowledged[id] = number
      case (503, _) where json?["outcome"]?.string == "unknown":
        book.unknown.insert(number)
        book.named[number] = json?["taskId"]?.string
      case (503, _) where reply.headers.contains(name: "Retry-After") && json?["retryable"]?.bool == true:
        book.refused += 1
        book.unavailable += 1
      default:
        book.faults.append("the submission was answered \(reply.status): \(reply.text)")
      }
    }
  }
}
