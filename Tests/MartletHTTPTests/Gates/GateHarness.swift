// A gate alone, without sockets: what it says to a request's headers.

internal import HTTPTypes
internal import Logging
internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import NIOCore
internal import Testing

@testable internal import MartletHTTP

struct GateHarness: Sendable {
  let gate: Gate
  let time = ManualTime()
  let clock = HandClock()
  let log = LogProbe()

  /// Prepared, as a server does before it listens.
  init(_ configuration: AuthConfiguration, book: (any APIKeyBook)? = nil) async throws {
    gate = Gate(
      configuration, book: book, clock: clock, wallClock: time.clock,
      trouble: TroubleLog(logger: log.logger, clock: clock), logger: log.logger)
    try await gate.prepare()
  }

  /// With the secret of `Mint.hs256`.
  static func secret(issuer: String? = nil, audience: String? = nil) async throws -> GateHarness {
    try await GateHarness(AuthConfiguration(jwt: .init(secret: Mint.secret, issuer: issuer, audience: audience)))
  }

  func admit(
    _ fields: HTTPFields, to right: Right = .read, from address: String? = nil
  ) async throws(Problem) -> Gate.Admission {
    let address = address.map { try? SocketAddress(ipAddress: $0, port: 1) } ?? nil
    return try await gate.admit(to: right, HeaderFields(fields), from: ClientAddress(address))
  }

  func admit(token: String, to right: Right = .read, from address: String? = nil) async throws(Problem) -> Credential {
    try await admit([.authorization: "Bearer \(token)"], to: right, from: address).credential
  }

  func admit(key: String, to right: Right = .read, from address: String? = nil) async throws(Problem) -> Credential {
    try await admit([.apiKey: key], to: right, from: address).credential
  }

  /// Runs the gate's own duty beside `body`.
  func running(_ body: () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await gate.run() }
      defer { group.cancelAll() }
      try await body()
    }
  }
}

/// Expects a refusal with a reason that has these words.
func expectRefusal<Value>(
  _ code: Problem.Code = .unauthenticated, _ words: String = "", sourceLocation: SourceLocation = #_sourceLocation,
  _ body: () async throws(Problem) -> Value
) async {
  do throws(Problem) {
    _ = try await body()
    Issue.record("it was let in", sourceLocation: sourceLocation)
  } catch {
    #expect(error.code == code, "\(error.detail)", sourceLocation: sourceLocation)
    if !words.isEmpty { #expect(error.detail.contains(words), sourceLocation: sourceLocation) }
  }
}
