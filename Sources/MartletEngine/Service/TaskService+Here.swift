// Submissions from inside the process, where no request's span stands around them. Called by `StartedNode`.

internal import MartletCore
internal import Tracing

extension TaskService {
  /// From inside the process: with a span of its own, to which its tasks belong where they do not say.
  package func submitHere(_ request: SubmitRequest) async throws(ServiceError) -> [SubmittedTask] {
    guard let spans = parts.spans else { return try await submit(request) }
    let span = spans.begin("submit", .producer, in: .current, ["messaging.system": "martlet"])
    defer { spans.end(span) }
    var request = request
    let traceparent = spans.traceparent(of: span)
    for index in request.items.indices where request.items[index].task.traceparent == nil {
      request.items[index].task.traceparent = traceparent
    }
    let traced = request
    do throws(ServiceError) {
      return try await spans.within(span) { () throws(ServiceError) in try await submit(traced) }
    } catch {
      spans.fail(span, type: "ServiceError", message: "\(error)")
      throw error
    }
  }
}
