// The lines of the settings' table about who may call. What is wrong between them says `Settings.accessComplaints`.

extension Setting {
  static let tls: [Setting] = [
    Setting(
      "server.tls.certificate", \.server.tls.certificate, .optionalText("path of a PEM file"), needsRestart: true,
      "The server's certificate and those between it and the root; then it speaks TLS 1.2 and later, and nothing else. Read again when the file changes."
    ),
    Setting(
      "server.tls.key", \.server.tls.key, .optionalText("path of a PEM file"), needsRestart: true,
      "The key of the certificate, without a passphrase. Read again when the file changes."),
  ]

  static let access: [Setting] = [
    Setting(
      "auth.jwt.secret", \.auth.jwt.secret, .optionalText("text of 32 bytes or more"), isSecret: true,
      needsRestart: true, "Checks tokens by HS256. Not together with `auth.jwt.jwks`."),
    Setting(
      "auth.jwt.jwks", \.auth.jwt.jwks, .optionalText("path, or `https:` URL"), needsRestart: true,
      "Checks tokens by a JSON Web Key Set (RS256, ES256, EdDSA), which is read again every five minutes and for unknown keys."
    ),
    Setting(
      "auth.jwt.issuer", \.auth.jwt.issuer, .optionalText("text"), needsRestart: true,
      "What a token's `iss` has to be; without it, anything."),
    Setting(
      "auth.jwt.audience", \.auth.jwt.audience, .optionalText("text"), needsRestart: true,
      "What a token's `aud` has to have; without it, only tokens without `aud` are taken."),
    Setting(
      "auth.apiKeys", \.auth.apiKeys, .yesOrNo, needsRestart: true,
      show: { String($0.auth.takesAPIKeys) },
      "Whether the store's API keys are taken. By default only where there is an `auth.bootstrapKey`."),
    Setting(
      "auth.bootstrapKey", \.auth.bootstrapKey, .optionalText("32 to 512 visible ASCII characters"), isSecret: true,
      needsRestart: true, "An administrator's key that is not in the store, to create the first one with."),
    Setting(
      "rateLimit.perSecond", \.rateLimit.perSecond, .optionalNumber(0.001...1_000_000),
      "Requests of one credential to this node (to all nodes, where they share a Redis), for good; without it, unlimited."
    ),
    Setting(
      "rateLimit.burst", \.rateLimit.burst, .optionalWhole(1...1_000_000),
      "Requests of one credential to this node, at once; without it, one second's worth."),
    Setting(
      "telemetry.metricsOpen", \.telemetry.metricsOpen, .plainYesOrNo, needsRestart: true,
      "Whether `GET /metrics` is answered without a credential."),
    Setting(
      "telemetry.metricsPort", \.telemetry.metricsPort, .optionalWhole(0...65_535), needsRestart: true,
      "A further port, of `server.host`, that answers health, version and metrics alone, on nodes without the role `api` too. Without it, none."
    ),
  ]
}

extension Form<String?> {
  static func optionalText(_ type: String) -> Form<String?> {
    let text = Form<String>.text(type) { _ in nil }
    return Form(
      type: type, expectation: text.expectation, parse: { raw in text.parse(raw).map { $0 } }, show: { $0 ?? "" },
      complaint: { $0?.isEmpty == true ? "must not be empty" : nil })
  }
}

extension Form<Double?> {
  static func optionalNumber(_ range: ClosedRange<Double>) -> Form<Double?> {
    let number = Form<Double>.number(range)
    return Form(
      type: number.type, limits: number.limits, expectation: number.expectation,
      parse: { raw in number.parse(raw).map { $0 } }, show: { $0.map(number.show) ?? "" },
      complaint: { $0.flatMap(number.complaint) })
  }
}

extension Form<Int?> {
  static func optionalWhole(_ range: ClosedRange<Int>) -> Form<Int?> {
    let number = Form<Int>.whole(range)
    return Form(
      type: number.type, limits: number.limits, expectation: number.expectation,
      parse: { raw in number.parse(raw).map { $0 } }, show: { $0.map(number.show) ?? "" },
      complaint: { $0.flatMap(number.complaint) })
  }
}

extension Form<Bool> {
  static let plainYesOrNo = Form(
    type: "`true` or `false`", expectation: "must be true or false",
    parse: { Form<Bool?>.yesOrNo.parse($0) ?? nil }, show: { String($0) }, complaint: { _ in nil })
}
