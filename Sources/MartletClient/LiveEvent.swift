// What the event stream tells, and how its text is read (https://html.spec.whatwg.org/multipage/server-sent-events.html).

internal import Foundation
public import MartletCore

/// A transition of a task, as the server's event stream tells it.
public struct LiveEvent: Sendable, Hashable {
  /// Its place in the stream: the same for all who listen, and higher than that of every event before it.
  public var position: Int64
  public var taskID: TaskID
  /// `martlet.task.received` and so on, as `RemoteEvent.type`.
  public var type: String
  /// The number in the task's history: 1 is the first, no number is left out.
  public var sequence: Int
  public var at: Timestamp
  /// The whole CloudEvent as it came.
  public var json: [UInt8]

  /// The last part of `type`: `received`.
  public var name: String { type.split(separator: ".").last.map(String.init) ?? type }

  init(position: Int64, json: [UInt8], server: String) throws(MartletClientError) {
    let slice: JSONSlice
    do throws(JSONError) {
      slice = try JSONScanner.scan(json, maxDepth: 2 * Limits.jsonDepth)
    } catch {
      throw .unexpectedAnswer(server: server, reason: "an event \(error.predicate)")
    }
    let reader = try ObjectReader(slice, server: server)
    self.position = position
    self.json = json
    taskID = try reader.required("subject", reader.id("subject"))
    type = try reader.required("type", reader.text("type"))
    sequence = try reader.required("sequence", reader.text("sequence").flatMap { Int($0) })
    at = try reader.required("time", reader.time("time"))
  }
}

/// Which events to hear of; empty sets stand for all.
public struct EventFilter: Sendable, Hashable {
  /// Of this task alone.
  public var taskID: TaskID?
  /// Types of tasks (`resize`) and of events (`martlet.task.dead`). With both kinds, events of these types about tasks of these types.
  public var types: Set<String>
  /// Of tasks in these queues.
  public var queues: Set<String>

  /// Everything, unless something is said.
  public init(taskID: TaskID? = nil, types: Set<String> = [], queues: Set<String> = []) {
    self.taskID = taskID
    self.types = types
    self.queues = queues
  }
}

/// Takes the text of a stream piece by piece.
struct ServerSentEvents {
  /// What was told last, wholly; goes into `Last-Event-ID`.
  private(set) var lastID: String?
  private var id: String?
  private var line: [UInt8] = []
  private var data: [UInt8] = []
  private var hasData = false

  /// Not yet told.
  var held: Int { line.count + data.count }

  /// The events that are whole now, each with the id that it came with.
  mutating func take(_ bytes: some Sequence<UInt8>) -> [(id: String?, data: [UInt8])] {
    var events: [(id: String?, data: [UInt8])] = []
    for byte in bytes {
      guard byte == 0x0A else {
        line.append(byte)
        continue
      }
      if line.last == 0x0D { line.removeLast() }
      if line.isEmpty {
        lastID = id
        if hasData { events.append((lastID, data)) }
        data = []
        hasData = false
      } else {
        takeLine()
      }
      line = []
    }
    return events
  }

  private mutating func takeLine() {
    let colon = line.firstIndex(of: UInt8(ascii: ":")) ?? line.endIndex
    guard colon > line.startIndex else { return }  // a comment
    var value = line[min(colon + 1, line.endIndex)...]
    if value.first == 0x20 { value = value.dropFirst() }
    switch String(decoding: line[..<colon], as: UTF8.self) {
    case "id": id = String(decoding: value, as: UTF8.self)
    case "data":
      if hasData { data.append(0x0A) }
      data += value
      hasData = true
    default: break  // the type stands in the event, pauses are this library's own business
    }
  }
}
