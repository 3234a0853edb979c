// Who may call the server, how often, and over what: the settings of `auth`, `rateLimit` and `server.tls`.

internal import MartletHTTP

extension Settings {
  /// By what callers are known. With none of it the server serves loopback only, and everybody there may do everything.
  public struct Auth: Sendable, Hashable {
    /// JSON Web Tokens.
    public var jwt: JWT
    /// Whether API keys of the store are taken; nil takes them where there is a bootstrap key.
    public var apiKeys: Bool?
    /// An administrator's key that is not in the store: 32 to 512 visible ASCII characters. Secret.
    public var bootstrapKey: String?

    public init(jwt: JWT = JWT(), apiKeys: Bool? = nil, bootstrapKey: String? = nil) {
      self.jwt = jwt
      self.apiKeys = apiKeys
      self.bootstrapKey = bootstrapKey
    }
  }

  /// How JSON Web Tokens are checked (RFC 7519). By a secret or by a key set, not both.
  public struct JWT: Sendable, Hashable {
    /// For HS256: 32 bytes or more. Secret.
    public var secret: String?
    /// A file or an `https:` URL with a JSON Web Key Set (RFC 7517): RS256, ES256, EdDSA.
    public var jwks: String?
    /// What `iss` has to be; nil takes any.
    public var issuer: String?
    /// What `aud` has to have; nil takes only tokens without `aud`.
    public var audience: String?

    public init(secret: String? = nil, jwks: String? = nil, issuer: String? = nil, audience: String? = nil) {
      self.secret = secret
      self.jwks = jwks
      self.issuer = issuer
      self.audience = audience
    }
  }

  /// How often one credential may call this node: a token bucket.
  public struct RateLimit: Sendable, Hashable {
    /// For good, 0.001 to 1,000,000; nil is unlimited.
    public var perSecond: Double?
    /// At once, 1 to 1,000,000; nil is as much as comes in a second.
    public var burst: Int?

    public init(perSecond: Double? = nil, burst: Int? = nil) {
      self.perSecond = perSecond
      self.burst = burst
    }
  }

  /// Encryption. Both files, or neither.
  public struct TLS: Sendable, Hashable {
    /// The path of a PEM file: the server's certificate, then those between it and the root.
    public var certificate: String?
    /// The path of a PEM file with the key of the first certificate, without a passphrase.
    public var key: String?

    public init(certificate: String? = nil, key: String? = nil) {
      self.certificate = certificate
      self.key = key
    }
  }
}

// MARK: - What the rest of the server reads

extension Settings.Auth {
  package var takesAPIKeys: Bool { apiKeys ?? (bootstrapKey != nil) }

  /// Somebody can be known by it.
  package var isConfigured: Bool {
    jwt.secret != nil || jwt.jwks != nil || takesAPIKeys || bootstrapKey != nil
  }
}

extension Settings {
  /// Nil without authentication.
  var authConfiguration: AuthConfiguration? { auth.isConfigured ? means : nil }

  var tlsFiles: TLSFiles? {
    guard let certificate = server.tls.certificate, let key = server.tls.key else { return nil }
    return TLSFiles(certificate: certificate, key: key)
  }

  /// Nil: unlimited.
  var requestLimit: MartletHTTP.RateLimit? { rateLimit.limit }

  private var means: AuthConfiguration {
    AuthConfiguration(
      jwt: .init(
        secret: auth.jwt.secret, jwks: auth.jwt.jwks, issuer: auth.jwt.issuer, audience: auth.jwt.audience),
      apiKeys: auth.takesAPIKeys, bootstrapKey: auth.bootstrapKey, rateLimit: rateLimit.limit,
      metricsOpen: telemetry.metricsOpen)
  }

  /// What is wrong between these settings, with the files that they name looked at.
  static func accessComplaints(_ settings: Settings) -> [(key: String, Complaint)] {
    var complaints: [(key: String, Complaint)] = []
    if !settings.auth.isConfigured, !settings.server.isOnLoopback, !settings.server.host.isEmpty {
      complaints.append(
        (
          "server.host",
          Complaint(
            "would let everybody in, since there is no auth: set auth.jwt.secret, auth.jwt.jwks, auth.apiKeys or "
              + "auth.bootstrapKey, or listen on loopback (127.0.0.1, ::1, localhost)", code: "auth")
        ))
    }
    for mistake in settings.means.mistakes + settings.means.fileMistakes where mistake.key != "auth" {
      if mistake.key == "auth.jwt" {
        complaints.append(
          ("auth.jwt.jwks", "cannot be given beside auth.jwt.secret, or a token could choose how it is checked"))
      } else {
        complaints.append((mistake.key, Complaint(mistake.detail)))
      }
    }
    if settings.rateLimit.perSecond == nil, settings.rateLimit.burst != nil {
      complaints.append(("rateLimit.burst", "needs rateLimit.perSecond beside it"))
    }
    if settings.server.roles.contains(.api), settings.server.port != 0,
      settings.telemetry.metricsPort == settings.server.port
    {
      complaints.append(
        ("telemetry.metricsPort", "is server.port, where the API has metrics already; name another, or leave it out"))
    }
    return complaints + tlsComplaints(settings)
  }

  private static func tlsComplaints(_ settings: Settings) -> [(key: String, Complaint)] {
    let tls = settings.server.tls
    switch (tls.certificate, tls.key) {
    case (nil, nil): return []
    case (_?, nil): return [("server.tls.key", "is missing: server.tls.certificate needs it")]
    case (nil, _?): return [("server.tls.certificate", "is missing: server.tls.key needs it")]
    case (_?, _?):
      return settings.tlsFiles?.fault.map { [($0.key, Complaint($0.detail))] } ?? []
    }
  }

  /// What is allowed and may not be what was meant, one line each.
  var cautions: [String] {
    var cautions: [String] = []
    if !auth.isConfigured, rateLimit.perSecond != nil {
      cautions.append("rateLimit.perSecond has no effect without auth: the limit is of each credential")
    }
    if auth.isConfigured, !server.isOnLoopback, server.tls.certificate == nil {
      cautions.append(
        "without server.tls credentials cross the network as they are, unless something in front of this server encrypts"
      )
    }
    if auth.jwt.jwks != nil, auth.jwt.issuer == nil, auth.jwt.audience == nil {
      cautions.append(
        "auth.jwt.jwks without auth.jwt.issuer and auth.jwt.audience takes every token that the keys' owner signs, for whomever"
      )
    }
    return cautions
  }
}

extension Settings.RateLimit {
  fileprivate var limit: MartletHTTP.RateLimit? {
    guard let perSecond else { return nil }
    let aSecondsWorth = (1...1_000_000).contains(perSecond) ? Int(perSecond.rounded(.up)) : 1
    return MartletHTTP.RateLimit(perSecond: perSecond, burst: burst ?? aSecondsWorth)
  }
}
