// Clients that submit one task after the other and write down each answer. They go on while servers come and go.

internal import MartletCore
internal import NIOHTTP1
internal import Synchronization

final class Load: Sendable {
  let journal = Journal()
  /// The body of the task with a number; it carries the number in its metadata.
  private let body: @Sendable (Int) -> String
  private let state = Mutex(State())

  private struct State {
    var server: API?
    var isOver = false
  }

  init(_ body: @escaping @Sendable (Int) -> String) {
    self.body = body
  }

  /// Runs clients beside `scenario`, and lets them finish what they are at when it ends.
  func run<Result: Sendable>(clients: Int, beside scenario: () async throws -> Result) async throws -> Result {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<clients { group.addTask { try await self.submit() } }
      defer { state.withLock { $0.isOver = true } }
      return try await scenario()
    }
  }

  /// Where to submit; nil while there is no server.
  func aim(at server: API?) {
    state.withLock { $0.server = server }
  }

  private func submit() async throws {
    while true {
      let (server, isOver) = state.withLock { ($0.server, $0.isOver) }
      if isOver { return }
      guard let server else {
        try await Task.sleep(for: .milliseconds(5))
        continue
      }
      let number = journal.nextNumber()
      do {
        note(try await server.post("/tasks", body(number)), of: number)
      } catch {
        let neverArrived = API.neverArrived(error)
        journal.note { book in
          if neverArrived { book.refused += 1 } else { book.unknown.insert(number) }
        }
        if neverArrived { try await Task.sleep(for: .milliseconds(5)) }
      }
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
      case (503, _) where reply.headers.contains(name: "Retry-After") && json?["retryable"]?.bool == true:
        book.refused += 1
      default:
        book.faults.append("the submission was answered \(reply.status): \(reply.text)")
      }
    }
  }
}
