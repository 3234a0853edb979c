// One attempt as spans: `wait`, from when its task was READY until it began, and `attempt`. Made by the worker, and by `LeaseService` for
// workers elsewhere; ended once the store has the report, by the time at which the handler ended.

package import MartletCore
package import Tracing

package struct AttemptTrace: Sendable {
  package let spans: SpanSource
  package let span: any Tracing.Span
  /// What the handler hands on.
  package let traceparent: String?

  /// `wait` has ended, `attempt` begins.
  package static func begin(_ task: ClaimedTask, worker: String, by spans: SpanSource) -> AttemptTrace {
    let now = spans.now
    // The store's clock may be ahead of ours.
    let readyAt = min(now, SpanSource.Moment(task.readyAt))
    let facts = attributes(task.id, Lane(queue: task.queue, type: task.type), attempt: task.attempt)
    let parent = spans.context(task.traceparent)
    let wait = spans.begin("wait", .internal, in: parent, at: readyAt, facts)
    spans.end(wait, at: now)
    var more = facts
    more["martlet.worker"] = worker
    more["messaging.system"] = "martlet"
    more["messaging.operation.type"] = "process"
    more["messaging.destination.name"] = task.queue
    more["messaging.message.id"] = task.id.description
    // A task of no trace has one from here on.
    let span = spans.begin("attempt", .consumer, in: parent ?? wait.context, at: now, more)
    return AttemptTrace(spans: spans, span: span, traceparent: spans.traceparent(of: span))
  }

  /// In the process of a worker elsewhere, below what its server calls the attempt.
  package static func beginElsewhere(_ task: ClaimedTask, worker: String, by spans: SpanSource) -> AttemptTrace {
    var facts = attributes(task.id, Lane(queue: task.queue, type: task.type), attempt: task.attempt)
    facts["martlet.worker"] = worker
    let span = spans.begin("run", .consumer, in: spans.context(task.traceparent), facts)
    return AttemptTrace(spans: spans, span: span, traceparent: spans.traceparent(of: span))
  }

  /// - Parameters:
  ///   - outcome: nil where nobody knows: it was reported to another node.
  ///   - status: what the task is left in.
  package func end(_ outcome: AttemptOutcome?, error: TaskError?, status: TaskStatus?, at moment: SpanSource.Moment) {
    if span.isRecording {
      span.attributes["martlet.outcome"] = outcome?.rawValue
      span.attributes["martlet.task.status"] = status?.rawValue
      if let error {
        spans.fail(span, type: error.type, message: error.message, stack: error.stack, at: moment)
      } else if let outcome, [.failed, .timedOut, .lost].contains(outcome) {
        span.attributes["error.type"] = outcome.rawValue
        span.setStatus(SpanStatus(code: .error, message: outcome.rawValue))
      }
    }
    spans.end(span, at: moment)
  }

  /// Of an attempt that nobody has reported, as the rescuer found it.
  package static func lost(_ task: TaskRecord, _ attempt: AttemptRecord, by spans: SpanSource) {
    guard let outcome = attempt.outcome else { return }
    var facts = attributes(task.id, Lane(queue: task.queue, type: task.type), attempt: attempt.number)
    facts["martlet.worker"] = attempt.worker
    let span = spans.begin(
      "attempt", .consumer, in: spans.context(task.traceparent), at: SpanSource.Moment(attempt.startedAt), facts)
    AttemptTrace(spans: spans, span: span, traceparent: nil).end(
      outcome, error: attempt.error, status: nil, at: attempt.finishedAt.map { SpanSource.Moment($0) } ?? spans.now)
  }

  private static func attributes(_ id: TaskID, _ lane: Lane, attempt: Int) -> SpanAttributes {
    [
      "martlet.task.id": .string(id.description), "martlet.task.type": .string(lane.type),
      "martlet.queue": .string(lane.queue), "martlet.attempt": .int64(Int64(attempt)),
    ]
  }
}

extension SpanSource.Moment {
  package init(_ time: Timestamp) {
    self.init(nanosecondsSinceEpoch: UInt64(max(0, time.milliseconds)) * 1_000_000)
  }
}
