// AWS Systems Manager Parameter Store: everything beneath a path, decrypted, page by page. Read by `SettingsSources` at the start and
// by the reloader again and again.

internal import Foundation
internal import MartletCore
internal import MartletEngine

/// One parameter of the store.
package struct StoredParameter: Sendable, Hashable, CustomStringConvertible {
  /// The whole name: `/prod/martlet/workers/concurrency`.
  package var name: String
  var value: String
  /// A SecureString: its value is never shown, whatever setting it is for.
  var isSecret: Bool

  package var description: String { name }
}

package struct ParameterStore: Sendable {
  let path: String
  private let region: String
  private let endpoint: String
  private let credentials: CredentialChain
  private let client = AWSClient()
  private let clock: any EngineClock
  private let now: @Sendable () -> Timestamp

  /// Of ten parameters each, the most that AWS gives.
  private static let mostPages = 200
  private static let tries = 4

  /// - Throws: where the settings or the environment leave something out.
  init(
    _ settings: Settings.SSM, environment: [String: String], clock: any EngineClock = SystemClock(),
    now: @escaping @Sendable () -> Timestamp = DatabaseLocation.wallClock
  ) throws(AWSFailure) {
    path = settings.path ?? "/"
    let variables = environment.filter { !$0.value.isEmpty }
    guard let region = settings.region ?? variables["AWS_REGION"] ?? variables["AWS_DEFAULT_REGION"] else {
      throw AWSFailure("the region is missing: set config.ssm.region or AWS_REGION")
    }
    self.region = region
    let domain = region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
    endpoint = settings.endpoint ?? "https://ssm.\(region).\(domain)"
    credentials = CredentialChain(environment, now: now)
    self.clock = clock
    self.now = now
  }

  /// All of them, in order of their names.
  func parameters() async throws(AWSFailure) -> [StoredParameter] {
    var parameters: [StoredParameter] = []
    var next: String?
    for _ in 1...Self.mostPages {
      let page = try await page(after: next)
      guard let found = page["Parameters"]?.elements else { throw AWSFailure("SSM answered something unexpected") }
      for parameter in found {
        guard let name = parameter["Name"]?.string, let value = parameter["Value"]?.string else {
          throw AWSFailure("SSM answered a parameter without a name or a value")
        }
        parameters.append(
          StoredParameter(name: name, value: value, isSecret: parameter["Type"]?.string == "SecureString"))
      }
      next = page["NextToken"]?.string
      if next == nil { return parameters.sorted { $0.name < $1.name } }
    }
    throw AWSFailure("there are more than \(Self.mostPages * 10) parameters beneath \(path)")
  }

  private func page(after token: String?) async throws(AWSFailure) -> JSONSlice {
    var json = JSONWriter()
    json.object { json in
      json.field("Path", path)
      json.field("Recursive", true)
      json.field("WithDecryption", true)
      json.field("MaxResults", 10)
      if let token { json.field("NextToken", token) }
    }
    for attempt in 1... {
      do throws(AWSFailure) {
        return try await ask("AmazonSSM.GetParametersByPath", json.bytes)
      } catch {
        guard error.isPassing, attempt < Self.tries else { throw error }
        do { try await clock.sleep(for: .milliseconds(200 << attempt)) } catch { throw AWSFailure("cancelled") }
      }
    }
    throw AWSFailure("SSM was not asked")
  }

  private func ask(_ target: String, _ body: [UInt8]) async throws(AWSFailure) -> JSONSlice {
    guard let url = URLComponents(string: endpoint), let host = url.percentEncodedHost else {
      throw AWSFailure("config.ssm.endpoint is no URL")
    }
    // As the client writes it: without a port that goes without saying.
    let usual = url.scheme == "https" ? 443 : 80
    let port = url.port.flatMap { $0 == usual ? nil : ":\($0)" } ?? ""
    let path = url.percentEncodedPath.isEmpty ? "/" : url.percentEncodedPath
    let request = SignatureV4.Request(
      method: "POST", path: path,
      headers: [
        ("host", host + port), ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", target),
      ], body: body)
    let signer = SignatureV4(credentials: try await credentials.credentials(), region: region, service: "ssm")
    let answer = try await client.send(
      "POST", AWSClient.place(endpoint) + path,
      headers: request.headers.filter { $0.name != "host" } + signer.fields(for: request, at: now()), body: body)
    guard answer.status == 200, let json = answer.json else { throw await failure(answer) }
    return json
  }

  /// `{"__type": "com.amazonaws.ssm#AccessDeniedException", "message": "…"}`
  private func failure(_ answer: AWSClient.Answer) async -> AWSFailure {
    let json = answer.json
    let type = json?["__type"]?.string?.split(separator: "#").last.map(String.init)
    let message = json?["message"]?.string ?? json?["Message"]?.string
    let refused = ["UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"]
    if let type, refused.contains(type) { await credentials.forget() }
    let isPassing =
      answer.status >= 500 || answer.status == 429 || type?.contains("Throttl") == true
      || type == "ExpiredTokenException"
    // What AWS says of a wrong signature repeats the request; its first line says enough.
    let line = message?.split(whereSeparator: \.isNewline).first.map(String.init)
    return AWSFailure(
      "SSM answered \(answer.status)" + [type, line].compactMap { $0.map { ": " + $0 } }.joined(), isPassing: isPassing)
  }
}
