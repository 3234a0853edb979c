// A recurring task as a client writes it, and its body on the wire.

public import MartletCore

/// What a schedule is to be. Nil leaves a field to the server's default.
public struct ScheduleDefinition: Sendable, Hashable {
  /// When its tasks are due.
  public enum Recurrence: Sendable, Hashable {
    /// Five fields as in crontab(5), or `@daily` and the like, by the clocks of a zone of the IANA database.
    case cron(String, timeZone: String = "UTC")
    /// 1 s to 100 years, counted from when the schedule was created.
    case every(seconds: Double)
  }

  /// What becomes of a tick that no server saw within a minute of its time.
  public enum Misfire: String, Sendable, Hashable, CaseIterable {
    /// It makes no task.
    case skip = "SKIP"
    /// The latest of those missed makes one all the same.
    case fireOnce = "FIRE_ONCE"
  }

  /// What becomes of a tick while the schedule's latest task is not final.
  public enum Overlap: String, Sendable, Hashable, CaseIterable {
    /// It makes a task.
    case allow = "ALLOW"
    /// It makes none.
    case skip = "SKIP"
  }

  /// 1–128 of `A-Z a-z 0-9 . _ : -`
  public var name: String
  public var recurrence: Recurrence
  /// Default `SKIP`.
  public var misfire: Misfire?
  /// Default `ALLOW`.
  public var overlap: Overlap?
  public var paused = false
  /// What each task is made from: without times, dependencies, key and `traceparent`.
  public var task: NewTask

  public init(name: String, _ recurrence: Recurrence, task: NewTask) {
    self.name = name
    self.recurrence = recurrence
    self.task = task
  }

  func json() throws(MartletClientError) -> [UInt8] {
    if task.traceparent != nil {
      throw .invalidRequest("a schedule's task has no traceparent: each of its tasks begins a trace of its own")
    }
    let task = try task.json()
    var writer = JSONWriter(capacity: task.count + 256)
    var fault: MartletClientError?
    writer.object { writer in
      writer.field("name", name)
      switch recurrence {
      case .cron(let expression, let timeZone):
        writer.field("cron", expression)
        writer.field("timeZone", timeZone)
      case .every(let seconds):
        if !seconds.isFinite { fault = .invalidRequest("everySeconds is not a finite number") }
        writer.field("everySeconds", seconds)
      }
      if let misfire { writer.field("misfire", misfire.rawValue) }
      if let overlap { writer.field("overlap", overlap.rawValue) }
      if paused { writer.field("paused", true) }
      writer.name("task")
      writer.raw(task)
    }
    if let fault { throw fault }
    return writer.bytes
  }
}
