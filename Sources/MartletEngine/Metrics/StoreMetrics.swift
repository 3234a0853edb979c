// What calls of the store cost, by operation: part of `TaskMetrics`. Operations are the few names in the code, never a client's.

internal import Metrics
internal import Synchronization

final class StoreMetrics: Sendable {
  private let factory: any MetricsFactory
  private let operations = Mutex<[String: Handles]>([:])
  private let isUp: any RecorderHandler

  private struct Handles {
    let duration: any TimerHandler
    let errors: any CounterHandler
    /// Only of operations that gather many callers.
    var batch: (any RecorderHandler)?
  }

  init(factory: any MetricsFactory) {
    self.factory = factory
    isUp = factory.makeGauge(.storeUp)
  }

  /// - Parameter items: how many shared the call, where many may.
  func call(_ operation: String, items: Int?, took duration: Duration, failed: Bool) {
    let handles = operations.withLock { operations in
      var handles = operations[operation] ?? made(operation)
      if items != nil, handles.batch == nil {
        handles.batch = factory.makeRecorder(
          label: MetricName.storeBatch.text, dimensions: [("operation", operation)], aggregate: true)
      }
      operations[operation] = handles
      return handles
    }
    handles.duration.recordNanoseconds(duration.wholeNanoseconds)
    if failed { handles.errors.increment(by: 1) }
    if let items { handles.batch?.record(Int64(items)) }
  }

  func set(isUp: Bool) { self.isUp.record(Int64(isUp ? 1 : 0)) }

  private func made(_ operation: String) -> Handles {
    let labels = [("operation", operation)]
    return Handles(
      duration: factory.makeTimer(label: MetricName.store.text, dimensions: labels),
      errors: factory.makeCounter(label: MetricName.storeErrors.text, dimensions: labels), batch: nil)
  }
}
