// What leaves the house when a task has moved: an event as brokers get it. The relay makes them from the history and hands them to
// the sinks.

/// One event of one task, as a CloudEvent 1.0 (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md).
package struct OutgoingEvent: Sendable, Hashable {
  package var task: TaskID
  /// Of the task's history: 1 and on, without a gap.
  package var sequence: Int
  package var type: TaskEventType
  package var at: Timestamp
  /// Of the task.
  package var lane: Lane
  /// Which installation: `/martlet/<installation>`.
  package var source: String
  /// The queue, type and so on of the task, as a JSON object. Without its payload.
  package var data: [UInt8]
  /// Of `.dead` events: the data with the payload, for those who process dead letters. Nil for all others.
  package var deadLetter: [UInt8]?

  package init(
    task: TaskID, sequence: Int, type: TaskEventType, at: Timestamp, lane: Lane, source: String, data: [UInt8],
    deadLetter: [UInt8]? = nil
  ) {
    self.task = task
    self.sequence = sequence
    self.type = type
    self.at = at
    self.lane = lane
    self.source = source
    self.data = data
    self.deadLetter = deadLetter
  }

  /// The same over all deliveries: the task's id, a dot, the sequence.
  package var id: String { "\(task).\(sequence)" }

  /// `martlet.task.succeeded`
  package var typeName: String { "martlet.task.\(type.rawValue)" }

  /// Of the JSON format (structured mode).
  package static let contentType = "application/cloudevents+json; charset=UTF-8"

  /// The attributes that CloudEvents gives it, but for `data`, in the order in which they are written. `sequence` is the extension
  /// (https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/sequence.md): ten digits, so that texts sort as numbers do.
  package var attributes: [(name: String, value: String)] {
    let digits = String(sequence)
    return [
      ("specversion", "1.0"), ("id", id), ("source", source), ("type", typeName), ("subject", task.description),
      ("time", at.description), ("datacontenttype", "application/json"),
      ("sequence", String(repeating: "0", count: max(0, 10 - digits.utf8.count)) + digits),
    ]
  }

  /// The whole event in the JSON format (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).
  /// - Parameter data: what it tells; `data` or `deadLetter`.
  package func json(data: [UInt8]) -> [UInt8] {
    var writer = JSONWriter(capacity: data.count + 512)
    writer.object { writer in
      for attribute in attributes {
        writer.name(attribute.name)
        writer.string(attribute.value)
      }
      writer.name("data")
      writer.raw(data)
    }
    return writer.bytes
  }
}
