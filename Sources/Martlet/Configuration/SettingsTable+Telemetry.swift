// The lines of the settings' table about traces. What is wrong between them says `Settings.telemetryComplaints`.

internal import MartletTelemetry

extension Setting {
  /// The rest of `telemetry`; `telemetry.metricsOpen` stands with those who may call.
  static let telemetry: [Setting] = [
    Setting(
      "telemetry.otlp.endpoint", \.telemetry.otlp.endpoint, .otlpEndpoint, needsRestart: true,
      "An OpenTelemetry receiver: turns on traces, sent by OTLP over HTTP to its `/v1/traces`. Without it, off."),
    Setting(
      "telemetry.otlp.headers", \.telemetry.otlp.headers, .list("list of `name=value`") { _ in nil }, isSecret: true,
      needsRestart: true, "Headers that go with the spans, such as the receiver's credential."),
    Setting(
      "telemetry.serviceName", \.telemetry.serviceName,
      .text("text of 1 to 255 characters") { name in
        (1...255).contains(name.count) ? nil : "must have 1 to 255 characters"
      }, needsRestart: true, "The `service.name` of the spans."),
    Setting(
      "telemetry.sampleRatio", \.telemetry.sampleRatio, .number(0...1), needsRestart: true,
      "Share of the traces beginning here that is kept. Traces that clients bring along are kept as these say."),
  ]
}

extension Form<String?> {
  fileprivate static let otlpEndpoint: Form<String?> = {
    let text = optionalText("`http://…` or `https://…`")
    return Form(
      type: text.type, expectation: text.expectation, parse: text.parse, show: text.show,
      complaint: { endpoint in
        endpoint.flatMap {
          OTLPEndpoint($0) == nil
            ? "must be an http or https URL with a host, without user and password; credentials belong into telemetry.otlp.headers"
            : nil
        }
      })
  }()
}
