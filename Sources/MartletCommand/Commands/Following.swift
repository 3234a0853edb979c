// Follows a task and prints what happens to it as it comes: woken by the server's event stream where it keeps one, else by long polls.
// Used by `submit --wait`, `tasks follow` and `demo`.

internal import MartletClient
internal import MartletEngine
internal import Synchronization

enum Following {
  /// Returns the final task. Restarts of the server are waited out.
  static func toTheEnd(
    _ id: TaskID, _ client: MartletClient, label: String? = nil, telling: Bool = true
  ) async throws -> RemoteTask {
    let task = try await client.task(id)
    var client = client
    client.options.retries.whileUnreachable = .seconds(120)
    client.options.retries.whenAsked = .seconds(120)
    guard telling else { return try await client.wait(for: id) }
    let bell = Bell()
    return try await withThrowingTaskGroup(of: Void.self) { [client] group in
      defer { group.cancelAll() }
      if !task.status.isFinal { group.addTask { await bell.listen(to: id, client) } }
      return try await tell(task, client, label, bell)
    }
  }

  private static func tell(
    _ task: RemoteTask, _ client: MartletClient, _ label: String?, _ bell: Bell
  ) async throws -> RemoteTask {
    let id = task.id
    var task = task
    var story = TaskStory(label: label, terminal: .output)
    // Several tasks at once would write over each other's lines.
    var progress = Progress(on: label == nil ? .output : .plain)
    while true {
      // Short polls while things happen, so that each is shown soon; a task at rest is asked less often.
      // Progress is no event: who is told of events still looks for it now and then.
      var patience = Duration.seconds(1)
      async let events = client.events(of: id)
      async let attempts = client.attempts(of: id)
      let lines = try await story.lines(task, events: events, attempts: attempts)
      Console.out(progress.text(lines, isProgress: story.endsWithProgress))
      if task.status.isFinal { return task }
      let before = Seen(task)
      repeat {
        if await bell.rings(within: patience) {
          task = try await client.task(id)
        } else {
          task = try await client.wait(for: id, upTo: patience)
        }
        patience = min(patience * 2, .seconds(4))
      } while Seen(task) == before
    }
  }

  /// - Throws: exit code 1 for every end but SUCCESS, which has been told already.
  static func check(_ task: RemoteTask) throws(CommandFailure) {
    if task.status != .success { throw CommandFailure(.failed, "") }
  }

  /// Rings when the event stream tells something of the task.
  private final class Bell: Sendable {
    private let alarm = Alarm()
    private let isConnected = Atomic(false)

    /// Until cancelled, or as long as there is a stream.
    func listen(to id: TaskID, _ client: MartletClient) async {
      var events = client.events(EventFilter(taskID: id))
      events.onConnected = { [self] isThere in
        isConnected.store(isThere, ordering: .relaxed)
        alarm.ring()  // what came before it was there, or while it was away
      }
      do {
        for try await _ in events { alarm.ring() }
      } catch {}  // long polls tell it as well, and say what is wrong
      isConnected.store(false, ordering: .relaxed)
      alarm.ring()
    }

    /// Waits for the next ring; false, at once, where there is no stream.
    func rings(within patience: Duration) async -> Bool {
      guard isConnected.load(ordering: .relaxed) else { return false }
      let clock = SystemClock()
      await alarm.wait(until: clock.now + patience, on: clock)
      return true
    }
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
