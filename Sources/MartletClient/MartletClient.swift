// The public face of a Martlet server for Swift programs, and what the command line is made of. What each call sends
// stands in `Call.swift`, how it is sent, retried and judged in `Transport.swift`.

public import AsyncHTTPClient
// Users of this library need Core's public vocabulary (`NewTask`, `TaskID`, `TaskStatus`, `Timestamp`, `TaskError`,
// `RetryPolicy`) in every call; a second import in each of their files would only be noise.
@_exported public import MartletCore

/// A connection to one Martlet server.
///
/// ```swift
/// let client = try MartletClient(server: "https://tasks.example.com", credential: .apiKey("mk_…"))
/// let task = try await client.submit("SEND_EMAIL", payload: Mail(to: "user@example.com", subject: "Welcome"))
/// let end = try await client.wait(for: task.id, upTo: .seconds(60))
/// try await client.shutdown()
/// ```
///
/// A client is safe to share and keeps its connections open between calls; make one and keep it. All calls throw
/// `MartletClientError`, or `CancellationError` when the calling Swift task is cancelled.
///
/// Calls that read, that set something to a value, or that carry an idempotency key are repeated after a broken connection and an
/// unknown outcome; all others only where the server cannot have carried them out: nobody answered at its address, or it said 429
/// or 503 with a `Retry-After` and not that the outcome is unknown.
/// `Options.retries` bounds both.
public struct MartletClient: Sendable {
  /// Who the caller is.
  public enum Credential: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible {
    /// For servers without configured auth.
    case none
    /// Sent as `X-API-Key`: `mk_…`
    case apiKey(String)
    /// A JSON Web Token, sent as `Authorization: Bearer …`
    case token(String)

    /// Names the kind alone: a credential never gets into a log by way of its description.
    public var description: String {
      switch self {
      case .none: "none"
      case .apiKey: "apiKey(…)"
      case .token: "token(…)"
      }
    }

    /// As `description`.
    public var debugDescription: String { description }
  }

  /// How long things may take.
  public struct Options: Sendable, Hashable {
    /// For one exchange, from connecting to the head of the answer. A long poll gets the time it asked for on top, an act on
    /// many tasks two minutes.
    public var requestTimeout: Duration = .seconds(30)
    /// For opening a connection. Ignored where the `HTTPClient` is borrowed.
    public var connectTimeout: Duration = .seconds(5)
    /// When calls are repeated.
    public var retries = Retries()
    /// A longer answer is refused (`unexpectedAnswer`). 64 MiB.
    public var maxAnswerBytes = 64 * 1024 * 1024
    /// False only where a node asks itself, over loopback and without a credential: its certificate is for other names. Ignored
    /// where the `HTTPClient` is borrowed.
    package var checksCertificate = true

    /// The defaults.
    public init() {}
  }

  /// The time that one call may spend between its attempts; the attempts themselves are not counted.
  public struct Retries: Sendable, Hashable {
    /// While the server cannot be reached; pauses grow from 0.1 s to 2 s.
    public var whileUnreachable: Duration = .seconds(5)
    /// As the server asks by `Retry-After` (429, 503). An answer that asks for more is thrown at once.
    public var whenAsked: Duration = .seconds(10)

    /// The defaults.
    public init() {}

    /// Every failure is thrown at once.
    public static let none = {
      var retries = Retries()
      retries.whileUnreachable = .zero
      retries.whenAsked = .zero
      return retries
    }()
  }

  /// As given, without a slash at the end.
  public let server: String
  /// May be changed on a copy: `var patient = client; patient.options.retries.whileUnreachable = .seconds(60)`. Copies
  /// share their connections.
  public var options: Options
  let http: HTTPClient
  let ownsHTTP: Bool
  let credential: Credential
  /// Time is injected in tests.
  package var clock = ClientClock.system

  /// - Parameters:
  ///   - server: `http://` or `https://`, a host, perhaps a port and a path that all calls go under. No connection is
  ///     made yet.
  ///   - httpClient: Borrowed: it is not shut down with this one, and should follow no redirects. Nil makes one of its
  ///     own.
  /// - Throws: `MartletClientError.invalidRequest` for an address that cannot be one.
  public init(
    server: String = "http://127.0.0.1:8080", credential: Credential = .none, options: Options = Options(),
    httpClient: HTTPClient? = nil
  ) throws(MartletClientError) {
    self.server = try ServerAddress.normalized(server)
    self.credential = credential
    self.options = options
    http = httpClient ?? Self.makeHTTP(options)
    ownsHTTP = httpClient == nil
  }

  /// Closes the connections, if they are this client's own. Every client must be shut down before the last copy of it
  /// goes; calls after it throw `unreachable`.
  public func shutdown() async throws {
    guard ownsHTTP else { return }
    try await http.shutdown()
  }

  /// Runs `body` with a client that is shut down afterwards.
  public static func withClient<Result>(
    server: String = "http://127.0.0.1:8080", credential: Credential = .none, options: Options = Options(),
    _ body: (MartletClient) async throws -> Result
  ) async throws -> Result {
    let client = try MartletClient(server: server, credential: credential, options: options)
    let result: Result
    do {
      result = try await body(client)
    } catch {
      try? await client.shutdown()  // the first error is the one to tell
      throw error
    }
    try await client.shutdown()
    return result
  }
}
