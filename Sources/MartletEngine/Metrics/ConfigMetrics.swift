// What is counted of the configuration. Called by whoever keeps a node's settings.

package import Metrics

package struct ConfigMetrics: Sendable {
  package enum Result: String, CaseIterable, Sendable {
    case applied, refused, failed
  }

  private let reloads: [Result: any CounterHandler]
  private let good: any RecorderHandler
  private let revision: any RecorderHandler

  package init(factory: any MetricsFactory) {
    reloads = Dictionary(
      uniqueKeysWithValues: Result.allCases.map { result in
        (
          result,
          factory.makeCounter(label: MetricName.configReloads.text, dimensions: [("result", result.rawValue)])
        )
      })
    good = factory.makeRecorder(label: MetricName.configGood.text, dimensions: [], aggregate: false)
    revision = factory.makeRecorder(label: MetricName.configRevision.text, dimensions: [], aggregate: false)
  }

  package func met(_ result: Result) { reloads[result]?.increment(by: 1) }
  package func set(isGood: Bool) { good.record(Int64(isGood ? 1 : 0)) }
  package func set(revision number: Int) { revision.record(Int64(number)) }
}
