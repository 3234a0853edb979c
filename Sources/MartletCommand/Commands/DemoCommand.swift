// `martlet demo`: one task of each built-in type, followed to its end. It is only a client; the server does the work.

internal import ArgumentParser
internal import MartletClient

struct DemoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo", abstract: "Submit one task of each built-in type and watch them to their end.",
    discussion: "The exit code is 0 only if all of them end SUCCESS.")

  @OptionGroup var server: ServerOptions

  func run() async throws {
    try await server.withClient { client in
      var submitted: [RemoteTask] = []
      for task in try Self.tasks(server: client.server) { submitted.append(try await client.submit(task)) }
      Console.out(TaskTable.tasks(submitted, for: .output) + "\n")
      let width = submitted.map(\.type.count).max() ?? 0
      var ends: [RemoteTask] = []
      try await withThrowingTaskGroup(of: RemoteTask.self) { group in
        for task in submitted {
          let label = task.type + String(repeating: " ", count: width - task.type.count)
          group.addTask { try await Following.toTheEnd(task.id, client, label: label) }
        }
        for try await end in group { ends.append(end) }
      }
      let order = submitted.map(\.id)
      ends.sort { order.firstIndex(of: $0.id) ?? 0 < order.firstIndex(of: $1.id) ?? 0 }
      Console.out("\n" + TaskTable.tasks(ends, for: .output))
      guard ends.allSatisfy({ $0.status == .success }) else {
        throw CommandFailure(.failed, "not all of them ended SUCCESS; martlet tasks show ID tells more")
      }
    }
  }

  static func tasks(server: String) throws -> [NewTask] {
    var message = try NewTask(type: "DELAYED_MESSAGE", encoding: ["message": "Two seconds have passed."])
    message.delaySeconds = 2
    let mail = try NewTask(
      type: "SEND_EMAIL",
      encoding: ["to": "user@example.com", "subject": "Welcome to Martlet", "content": "It never lands."])
    var unlucky = try NewTask(type: "FAIL_SOMETIMES", encoding: ["probability": 0.5])
    unlucky.retries = 15  // one run in 65,536 would end DEAD
    unlucky.backoff = NewTask.Backoff()
    unlucky.backoff?.strategy = .fixed
    unlucky.backoff?.baseSeconds = 0.5
    var call = try NewTask(type: "WEBHOOK_CALL", encoding: ["url": server + "/health/live", "method": "GET"])
    call.timeoutSeconds = 30
    return [message, mail, unlucky, call].map { task in
      var task = task
      task.tags = ["demo"]
      return task
    }
  }
}
