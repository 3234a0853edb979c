// What a handler may know and say while it runs. Made by `AttemptRunner` for each attempt.

public import Logging
public import MartletCore
internal import Synchronization

/// One attempt of one task, as its handler sees it.
public final class AttemptContext: Sendable {
  let task: ClaimedTask
  private let baseLogger: Logger
  private let state: Mutex<State>

  struct State {
    /// Lines that the store has not been told yet, and their bytes.
    var logs: [String] = []
    var logBytes = 0
    /// Lines on their way there with a renewal.
    var sentLogs: [String] = []
    var progress: Progress?
    var progressIsNew = false
    var stop: StopCause?
    var trace: AttemptTrace?
  }

  package init(task: ClaimedTask, logger: Logger) {
    self.task = task
    baseLogger = logger
    state = Mutex(State())
  }

  /// The same over all attempts: the key to make outside effects idempotent with.
  public var taskID: TaskID { task.id }
  public var type: String { task.type }
  public var queue: String { task.queue }
  /// 1 is the first.
  public var attempt: Int { task.attempt }
  public var maxAttempts: Int { task.maxAttempts }
  public var createdAt: Timestamp { task.createdAt }
  /// When the client wanted it, if it said so.
  public var runAt: Timestamp? { task.runAt }
  /// When this attempt became eligible.
  public var availableAt: Timestamp { task.availableAt }
  /// When this attempt was claimed, by the store's clock.
  public var startedAt: Timestamp { task.startedAt }
  public var tags: [String] { task.tags }
  public var metadata: [String: String] { task.metadata }
  /// W3C Trace Context, to be handed on: of this attempt where the server traces, else of the submission.
  public var traceparent: String? { state.withLock { $0.trace?.traceparent } ?? task.traceparent }

  /// True once the work is no longer wanted: cancelled, timed out, lease lost or shutting down.
  public var isCancelled: Bool { withUnsafeCurrentTask { $0?.isCancelled ?? false } }

  /// Logs to the server's log with the task's id and attempt, and keeps each line with the attempt.
  public var logger: Logger {
    var logger = baseLogger
    logger[metadataKey: "task_id"] = "\(taskID)"
    logger[metadataKey: "attempt"] = "\(attempt)"
    if let trace = traceparent.flatMap({ TraceParent($0) }) {
      logger[metadataKey: "trace_id"] = "\(trace.traceIDText)"
      if state.withLock({ $0.trace != nil }) { logger[metadataKey: "span_id"] = "\(trace.spanIDText)" }
    }
    logger.handler = AttemptLogHandler(inner: logger.handler) { [self] line in log(line) }
    return logger
  }

  /// Keeps a line with the attempt: the last 1,000 lines and 64 KiB stay, on success too. Stored with the next renewal of the lease,
  /// at the latest with the attempt's end.
  public func log(_ line: String) {
    state.withLock { state in
      state.logs.append(line)
      state.logBytes += line.utf8.count + 1
      if state.logs.count > 2 * Limits.logLines || state.logBytes > 2 * Limits.logBytes { state.cutLogs() }
    }
  }

  /// Shows how far the attempt is. Stored with the next renewal of the lease.
  /// - Parameter percent: 0…100; values beyond are clamped.
  public func progress(_ percent: Double, _ message: String? = nil) {
    guard percent.isFinite else { return }
    state.withLock { state in
      state.progress = Progress(percent: min(max(percent, 0), 100), message: message)
      state.progressIsNew = true
    }
  }

  /// What the attempt's end has to tell: all lines that may not be in the store yet.
  var logLines: [String] { state.withLock { $0.sentLogs + $0.logs } }

  /// Why the handler should stop, once it should: told before its Swift task is cancelled.
  package var stop: StopCause? { state.withLock { $0.stop } }

  func belongs(to trace: AttemptTrace) {
    state.withLock { $0.trace = trace }
  }

  func stopped(_ cause: StopCause) {
    state.withLock { $0.stop = $0.stop ?? cause }
  }

  /// What a renewal shall tell the store. One at a time, each followed by `newsAreStored` or `newsAreNotStored`.
  func takeNews() -> (progress: Progress?, logs: [String]) {
    state.withLock { state in
      state.sentLogs = keptLogs(state.logs)
      state.logs = []
      state.logBytes = 0
      defer { state.progressIsNew = false }
      return (state.progressIsNew ? state.progress : nil, state.sentLogs)
    }
  }

  func newsAreStored() {
    state.withLock { $0.sentLogs = [] }
  }

  /// As far as is known: told again, they may be there twice.
  func newsAreNotStored() {
    state.withLock { state in
      state.progressIsNew = state.progress != nil
      guard !state.sentLogs.isEmpty else { return }
      state.logs = state.sentLogs + state.logs
      state.sentLogs = []
      state.cutLogs()
    }
  }
}

extension AttemptContext.State {
  fileprivate mutating func cutLogs() {
    logs = keptLogs(logs)
    logBytes = logs.reduce(0) { $0 + $1.utf8.count + 1 }
  }
}

/// Passes records on and keeps their text with the attempt.
private struct AttemptLogHandler: LogHandler {
  var inner: any LogHandler
  let keep: @Sendable (String) -> Void

  init(inner: any LogHandler, keep: @escaping @Sendable (String) -> Void) {
    self.inner = inner
    self.keep = keep
  }

  /// What a handler tells belongs to its attempt, however quiet the server's log is set.
  var logLevel: Logger.Level {
    get { min(inner.logLevel, .info) }
    set { inner.logLevel = newValue }
  }

  var metadata: Logger.Metadata {
    get { inner.metadata }
    set { inner.metadata = newValue }
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { inner[metadataKey: key] }
    set { inner[metadataKey: key] = newValue }
  }

  func log(event: LogEvent) {
    keep("\(event.level): \(event.message)")
    if event.level >= inner.logLevel { inner.log(event: event) }
  }
}
