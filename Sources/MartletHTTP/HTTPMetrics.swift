// Counts and times requests by route. The handles are made once for each combination of labels, of which there is a
// fixed number: routes come from the table, methods from a short list. Called by `Responder`.

internal import HTTPTypes
internal import MartletEngine
internal import Metrics
internal import Synchronization

final class HTTPMetrics: Sendable {
  static let unmatched = "unmatched"

  private let factory: any MetricsFactory
  private let handles = Mutex<[Key: Handles]>([:])

  private struct Key: Hashable {
    let method: String
    let route: String
    let status: Int
  }

  private struct Handles {
    let requests: any CounterHandler
    let duration: any TimerHandler
  }

  init(factory: any MetricsFactory) {
    self.factory = factory
  }

  /// `route` is a path of the route table, or `unmatched`; `method` is nil where none could be read.
  func record(method: HTTPRequest.Method?, route: String, status: Int, took duration: Duration) {
    let handles = handles(Key(method: Self.label(method), route: route, status: status))
    handles.requests.increment(by: 1)
    let (seconds, attoseconds) = duration.components
    handles.duration.recordNanoseconds(seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000)
  }

  private func handles(_ key: Key) -> Handles {
    handles.withLock { handles in
      if let known = handles[key] { return known }
      let labels = [("method", key.method), ("route", key.route)]
      let made = Handles(
        requests: factory.makeCounter(
          label: MetricName.httpRequests.text, dimensions: labels + [("status", String(key.status))]),
        duration: factory.makeTimer(label: MetricName.httpRequest.text, dimensions: labels))
      handles[key] = made
      return made
    }
  }

  private static func label(_ method: HTTPRequest.Method?) -> String {
    switch method {
    case .get, .head, .post, .put, .patch, .delete, .options: method?.rawValue ?? ""
    default: "OTHER"
    }
  }
}
