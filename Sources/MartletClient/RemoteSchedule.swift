// A schedule as a server shows it, and its definition as a body to send back.

public import MartletCore

/// A schedule as it was when the server answered.
public struct RemoteSchedule: Sendable, Hashable, Identifiable {
  public var id: String { name }
  public var name: String
  /// Nil where it recurs by `everySeconds`.
  public var cron: String?
  /// Nil where it recurs by `cron`.
  public var everySeconds: Double?
  public var timeZone: String
  /// `SKIP` or `FIRE_ONCE`
  public var misfire: String
  /// `ALLOW` or `SKIP`
  public var overlap: String
  public var paused: Bool
  /// The type of its tasks.
  public var type: String
  /// The queue of its tasks; nil is the server's default.
  public var queue: String?
  /// What its tasks are made from, as JSON; lists leave out the payload.
  public var task: [UInt8]
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  /// When its latest task was made, by a tick or by hand.
  public var lastRunAt: Timestamp?
  public var lastTaskID: TaskID?
  /// Nil while paused.
  public var nextRunAt: Timestamp?
  /// As many as were asked for; empty in lists.
  public var nextRuns: [Timestamp]
  /// Why its latest tick made no task although it should have.
  public var lastError: TaskError?
  /// The whole object as it came.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    try self.init(Reading.object(answer))
  }

  init(_ reader: ObjectReader) throws(MartletClientError) {
    name = try reader.required("name", reader.text("name"))
    cron = try reader.text("cron")
    everySeconds = try reader.double("everySeconds")
    timeZone = try reader.text("timeZone") ?? "UTC"
    misfire = try reader.text("misfire") ?? ""
    overlap = try reader.text("overlap") ?? ""
    paused = try reader.bool("paused") ?? false
    let template = try reader.required("task", reader.object("task"))
    type = try template.required("type", template.text("type"))
    queue = try template.text("queue")
    task = template.slice.bytes
    createdAt = try reader.required("createdAt", reader.time("createdAt"))
    updatedAt = try reader.required("updatedAt", reader.time("updatedAt"))
    lastRunAt = try reader.time("lastRunAt")
    lastTaskID = try reader.id("lastTaskId")
    nextRunAt = try reader.time("nextRunAt")
    nextRuns = []
    for text in try reader.texts("nextRuns") {
      guard let time = Timestamp(text) else { throw reader.unexpected("'nextRuns' has '\(text)', which is no time") }
      nextRuns.append(time)
    }
    lastError = try reader.object("lastError").map { (error) throws(MartletClientError) in
      TaskError(type: try error.text("type") ?? "", message: try error.text("message") ?? "")
    }
    json = reader.slice.bytes
  }
}

/// The definition in an answer, to be changed in parts and sent back: what this library knows nothing of stays as it is.
package struct ScheduleBody: Sendable {
  private static let names = ["name", "cron", "everySeconds", "timeZone", "task", "misfire", "overlap", "paused"]

  package let name: String
  private var fields: [String: [UInt8]]
  private var taskFields: [(name: String, json: [UInt8])]

  /// - Parameter schedule: one with its payload, thus not from a list.
  package init(_ schedule: RemoteSchedule) {
    name = schedule.name
    let members = (try? JSONScanner.scan(schedule.json, maxDepth: 2 * Limits.jsonDepth))?.members ?? []
    fields = Dictionary(members.map { ($0.name, $0.value.bytes) }) { first, _ in first }
    taskFields = (members.first { $0.name == "task" }?.value.members ?? []).map { ($0.name, $0.value.bytes) }
  }

  /// - Parameter value: nil leaves the field out.
  package mutating func set(_ name: String, _ value: ((inout JSONWriter) -> Void)?) {
    fields[name] = value.map(Self.written)
  }

  package mutating func setTask(_ name: String, _ value: (inout JSONWriter) -> Void) {
    let json = Self.written(value)
    if let index = taskFields.firstIndex(where: { $0.name == name }) {
      taskFields[index].json = json
    } else {
      taskFields.append((name, json))
    }
  }

  package var json: [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      for name in Self.names {
        if name == "task" {
          writer.field("task") { writer in
            for field in taskFields {
              writer.name(field.name)
              writer.raw(field.json)
            }
          }
        } else if let value = fields[name] {
          writer.name(name)
          writer.raw(value)
        }
      }
    }
    return writer.bytes
  }

  private static func written(_ value: (inout JSONWriter) -> Void) -> [UInt8] {
    var writer = JSONWriter()
    value(&writer)
    return writer.bytes
  }
}
