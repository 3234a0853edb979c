// What a node traces by: spans sent by OTLP where a receiver is configured, else the tracer that the embedding program has set up for
// itself, else nothing. The receiver is sent to for as long as the node runs, and a few seconds longer.

internal import Foundation
internal import Logging
internal import MartletCore
internal import MartletEngine
internal import MartletTelemetry
internal import Metrics
internal import Tracing

struct NodeTraces: Sendable {
  /// Nil: nothing is traced.
  let spans: SpanSource?
  private let exporter: SpanExporter?
  private let post: OTLPPost?

  /// For the last spans of a node that stops.
  private static let lastTime = Duration.seconds(5)

  init(_ settings: Settings, _ location: DatabaseLocation, metrics: PrometheusRegistry, logger: Logger) {
    let telemetry = settings.telemetry
    guard let endpoint = telemetry.otlp.endpoint.flatMap({ OTLPEndpoint($0) }) else {
      var spans = SpanSource.ofTheProcess
      spans?.database = location.system
      self.spans = spans
      (exporter, post) = (nil, nil)
      return
    }
    let exported = metrics.makeCounter(label: MetricName.spansExported.text, dimensions: [])
    let dropped = metrics.makeCounter(label: MetricName.spansDropped.text, dimensions: [])
    let queue = SpanQueue { dropped.increment(by: Int64($0)) }
    var spans = SpanSource(OTLPTracer(queue, ratio: telemetry.sampleRatio, random: .system))
    spans.database = location.system
    self.spans = spans
    let post = OTLPPost(
      endpoint, headers: telemetry.otlp.headers.compactMap { Settings.OTLP.pair($0) },
      userAgent: "Martlet/\(Version.current)"
    ) { headers in
      RetryAfter.delay(asked: headers, now: DatabaseLocation.wallClock())
    }
    self.post = post
    exporter = SpanExporter(
      queue, from: Self.origin(telemetry.serviceName), by: post, clock: SystemClock(), random: .system, logger: logger
    ) { exported.increment(by: Int64($0)) }
  }

  /// Sends what `body` makes, and what is left when it has ended.
  func sending(_ body: () async throws -> Void) async throws {
    guard let exporter else { return try await body() }
    let result = await withTaskGroup(of: Void.self) { group in
      group.addTask { await exporter.run() }
      let result: Result<Void, any Error>
      do { result = .success(try await body()) } catch { result = .failure(error) }
      exporter.finish(within: Self.lastTime)
      await group.waitForAll()
      return result
    }
    await post?.shutdown()
    try result.get()
  }

  private static func origin(_ serviceName: String) -> SpanOrigin {
    let process = ProcessInfo.processInfo
    return SpanOrigin(
      resource: [
        ("service.name", .string(serviceName)), ("service.version", .string(Version.current)),
        ("service.instance.id", .string("\(process.hostName)-\(process.processIdentifier)")),
        ("host.name", .string(process.hostName)), ("process.pid", .int64(Int64(process.processIdentifier))),
        ("telemetry.sdk.name", "martlet"), ("telemetry.sdk.language", "swift"),
        ("telemetry.sdk.version", .string(Version.current)),
      ], scopeName: "martlet", scopeVersion: Version.current)
  }
}

extension DatabaseLocation {
  /// As OpenTelemetry calls it.
  fileprivate var system: String {
    switch self {
    case .sqlite: "sqlite"
    case .postgres: "postgresql"
    }
  }
}
