// Follows a task by long polls and prints what happens to it as it comes. Used by `submit --wait`, `tasks follow` and
// `demo`.

internal import MartletClient

enum Following {
  /// Returns the final task. Restarts of the server are waited out.
  static func toTheEnd(
    _ id: TaskID, _ client: MartletClient, label: String? = nil, telling: Bool = true
  ) async throws -> RemoteTask {
    var task = try await client.task(id)
    var client = client
    client.options.retries.whileUnreachable = .seconds(120)
    client.options.retries.whenAsked = .seconds(120)
    guard telling else { return try await client.wait(for: id) }
    var story = TaskStory(label: label, terminal: .output)
    // Several tasks at once would write over each other's lines.
    var progress = Progress(on: label == nil ? .output : .plain)
    while true {
      // Short polls while things happen, so that each is shown soon; a task at rest is asked less often.
      var patience = Duration.seconds(1)
      async let events = client.events(of: id)
      async let attempts = client.attempts(of: id)
      let lines = try await story.lines(task, events: events, attempts: attempts)
      Console.out(progress.text(lines, isProgress: story.endsWithProgress))
      if task.status.isFinal { return task }
      let before = Seen(task)
      repeat {
        task = try await client.wait(for: id, upTo: patience)
        patience = min(patience * 2, .seconds(4))
      } while Seen(task) == before
    }
  }

  /// - Throws: exit code 1 for every end but SUCCESS, which has been told already.
  static func check(_ task: RemoteTask) throws(CommandFailure) {
    if task.status != .success { throw CommandFailure(.failed, "") }
  }

  /// What a follower would notice.
  private struct Seen: Equatable {
    var status: TaskStatus
    var attempt: Int
    var updatedAt: Timestamp
    var progress: RemoteTask.Progress?

    init(_ task: RemoteTask) {
      status = task.status
      attempt = task.attempt
      updatedAt = task.updatedAt
      progress = task.progress
    }
  }
}
