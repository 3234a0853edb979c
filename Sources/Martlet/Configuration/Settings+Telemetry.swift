// What is told of the server's work to those who watch it: the settings of `telemetry`.

extension Settings {
  /// What is told of the server's work.
  public struct Telemetry: Sendable, Hashable {
    /// `GET /metrics` asks for no credential.
    public var metricsOpen: Bool
    /// A port of `server.host` for health, version and metrics alone; 0 takes any free one, nil opens none.
    public var metricsPort: Int?
    /// Where spans are sent.
    public var otlp: OTLP
    /// What the spans' origin is called.
    public var serviceName: String
    /// The share of traces beginning here that is kept, 0…1. Of a trace that a client brings along the client has decided.
    public var sampleRatio: Double

    public init(
      metricsOpen: Bool = false, metricsPort: Int? = nil, otlp: OTLP = OTLP(), serviceName: String = "martlet",
      sampleRatio: Double = 1
    ) {
      self.metricsOpen = metricsOpen
      self.metricsPort = metricsPort
      self.otlp = otlp
      self.serviceName = serviceName
      self.sampleRatio = sampleRatio
    }
  }

  /// A receiver of OpenTelemetry, by OTLP over HTTP with Protocol Buffers.
  public struct OTLP: Sendable, Hashable {
    /// `http://collector:4318`, with or without `/v1/traces`; nil turns tracing off.
    public var endpoint: String?
    /// `name=value` each, sent with the spans. Secret.
    public var headers: [String]

    public init(endpoint: String? = nil, headers: [String] = []) {
      self.endpoint = endpoint
      self.headers = headers
    }
  }
}

// MARK: - What the rest of the server reads

extension Settings.OTLP {
  /// Nil for what is no header.
  static func pair(_ text: String) -> (name: String, value: String)? {
    guard let equals = text.firstIndex(of: "=") else { return nil }
    let name = String(text[..<equals])
    let value = String(text[text.index(after: equals)...])
    let isOurs = ["content-length", "content-type", "host", "transfer-encoding"].contains(name.lowercased())
    return HeaderRules.isName(name) && HeaderRules.isValue(value) && !isOurs ? (name, value) : nil
  }
}

extension Settings {
  static func telemetryComplaints(_ settings: Settings) -> [(key: String, Complaint)] {
    let otlp = settings.telemetry.otlp
    if otlp.headers.contains(where: { OTLP.pair($0) == nil }) {
      return [("telemetry.otlp.headers", "must be name=value each, as in Authorization=Basic dXNlcjpw")]
    }
    if otlp.endpoint == nil, !otlp.headers.isEmpty {
      return [("telemetry.otlp.headers", "needs telemetry.otlp.endpoint beside it")]
    }
    return []
  }
}
