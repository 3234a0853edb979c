// Tells other nodes what has appeared, by NOTIFY: in transactions of its own, outside those that write tasks, and never more than
// one at a time, so that what gathers meanwhile goes in one. Only hints: whatever is lost here is found by looking.

internal import MartletCore
internal import Synchronization

final class Bell: Sendable {
  private let pool: ConnectionPool
  private let channel: String
  /// So that a node does not listen to itself.
  private let node: String
  private let news = Mutex(News())
  private let stream: AsyncStream<Void>
  private let signal: AsyncStream<Void>.Continuation

  /// Between two messages: the first goes at once, but a stream of them must not become a load of its own.
  private static let gap = Duration.milliseconds(1)
  /// The same where a message stands for many tasks: whoever takes them has enough to do.
  private static let busyGap = Duration.milliseconds(20)
  private static let busy = 16

  init(pool: ConnectionPool, channel: String, node: String) {
    self.pool = pool
    self.channel = channel
    self.node = node
    (stream, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  func work(in lane: Int32, at availableAt: Int64) {
    note { $0.lanes[lane] = min($0.lanes[lane] ?? availableAt, availableAt) }
  }

  func due(in duration: Duration) {
    // What is further away than anybody rests is found without a hint.
    guard duration < .seconds(5) else { return }
    note { $0.due = min($0.due ?? duration, duration) }
  }

  func schedules() {
    note { $0.hasSchedules = true }
  }

  func cancelled(_ id: TaskID) {
    note { $0.cancelled.append(id) }
  }

  func unsettled() {
    note { $0.isUnsettled = true }
  }

  func unadmitted() {
    note { $0.isUnadmitted = true }
  }

  func settingsChanged() {
    note { $0.areSettingsChanged = true }
  }

  /// This node could have had more of the lane, but its queue is full.
  func full(_ lane: Int32, of queue: String) {
    note { $0.full[lane] = queue }
  }

  /// An attempt has ended in the queue of this lane, which another node has found full.
  func room(in lane: Int32) {
    note { $0.room.insert(lane) }
  }

  /// Until cancelled.
  func run() async {
    for await _ in stream {
      let news = news.withLock { news in
        defer { news = News() }
        return news
      }
      guard news.count > 0 else { continue }
      do throws(PostgresFailure) {
        _ = try await pool.transaction(
          [Query(Self.hurry), Query(Self.notify, .text(channel), .text(news.message(from: node)))], .background)
      } catch {
        continue  // a hint lost
      }
      try? await Task.sleep(for: news.count > Self.busy ? Self.busyGap : Self.gap)  // cancelled: the loop ends
    }
  }

  private func note(_ change: (inout News) -> Void) {
    news.withLock { news in
      change(&news)
      news.count += 1
    }
    signal.yield()
  }

  /// Nobody waits for a hint to be on disk.
  private static let hurry = Statement("hurry", "SELECT set_config('synchronous_commit', 'off', true)")
  private static let notify = Statement("notify", "SELECT pg_notify($1::text, $2::text)")
}

/// What one message tells: the node, then a word for each hint.
struct News: Sendable {
  /// The earliest place per lane.
  var lanes: [Int32: Int64] = [:]
  var due: Duration?
  var cancelled: [TaskID] = []
  var isUnsettled = false
  var isUnadmitted = false
  var areSettingsChanged = false
  var full: [Int32: String] = [:]
  var room: Set<Int32> = []
  /// A schedule was changed.
  var hasSchedules = false
  /// Hints gathered.
  var count = 0

  /// PostgreSQL takes 8,000 bytes.
  private static let longest = 7900

  func message(from node: String) -> String {
    var words = [node]
    words += lanes.map { "w\($0.key)@\($0.value)" }
    if let due { words.append("d\(due.wholeMilliseconds)") }
    if hasSchedules { words.append("t") }
    words += cancelled.map { "c\($0)" }
    if isUnsettled { words.append("u") }
    if isUnadmitted { words.append("k") }
    if areSettingsChanged { words.append("s") }
    words += full.map { "f\($0.key)@\($0.value)" }
    words += room.map { "r\($0)" }
    let message = words.joined(separator: " ")
    return message.utf8.count <= Self.longest ? message : "\(node) a"
  }

  enum Word {
    case work(lane: Int32, availableAt: Int64)
    case due(Duration)
    case cancelled(TaskID)
    case unsettled
    case unadmitted
    case settings
    case full(lane: Int32, queue: String)
    case room(lane: Int32)
    case schedules
    /// Too much to tell, or said by a newer version.
    case something
  }

  /// Nil if the node itself said it.
  static func words(of message: String, heardBy node: String) -> [Word]? {
    let parts = message.split(separator: " ")
    guard let sender = parts.first, sender != node else { return nil }
    return parts.dropFirst().map { part in
      let rest = part.dropFirst()
      switch part.first {
      case "w":
        let numbers = rest.split(separator: "@")
        if numbers.count == 2, let lane = Int32(numbers[0]), let availableAt = Int64(numbers[1]) {
          return .work(lane: lane, availableAt: availableAt)
        }
      case "d": if let milliseconds = Int64(rest) { return .due(.milliseconds(milliseconds)) }
      case "t" where rest.isEmpty: return .schedules
      case "c": if let id = TaskID(String(rest)) { return .cancelled(id) }
      case "u" where rest.isEmpty: return .unsettled
      case "k" where rest.isEmpty: return .unadmitted
      case "s" where rest.isEmpty: return .settings
      case "f":
        let parts = rest.split(separator: "@")
        if parts.count == 2, let lane = Int32(parts[0]) { return .full(lane: lane, queue: String(parts[1])) }
      case "r": if let lane = Int32(rest) { return .room(lane: lane) }
      default: break
      }
      return .something
    }
  }
}
