// Where AWS credentials come from: the environment, the shared file, the container, the machine. The first that has some wins, and
// those that end are asked for again before they do. Called by `ParameterStore`.

internal import Foundation
internal import MartletCore
internal import NIOCore
internal import NIOPosix

actor CredentialChain {
  private let environment: [String: String]
  private let client = AWSClient()
  private let now: @Sendable () -> Timestamp
  private var known: AWSCredentials?

  /// Credentials are asked for again so long before their end.
  private static let margin = Duration.seconds(300)

  init(_ environment: [String: String], now: @escaping @Sendable () -> Timestamp) {
    self.environment = environment.filter { !$0.value.isEmpty }
    self.now = now
  }

  func credentials() async throws(AWSFailure) -> AWSCredentials {
    if let known, known.expiresAt.map({ $0 - now() > Self.margin }) ?? true { return known }
    do throws(AWSFailure) {
      let found = try await find()
      known = found
      return found
    } catch {
      // Those that are there are good until they end.
      if let known, let end = known.expiresAt, end > now() { return known }
      throw error
    }
  }

  /// They were refused: the next call looks again.
  func forget() { known = nil }

  private func find() async throws(AWSFailure) -> AWSCredentials {
    if let found = try fromEnvironment() { return found }
    if let found = try await fromFile() { return found }
    if let found = try await fromContainer() { return found }
    return try await fromMachine()
  }

  // MARK: Environment

  private func fromEnvironment() throws(AWSFailure) -> AWSCredentials? {
    switch (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]) {
    case (nil, nil): return nil
    case (let key?, let secret?):
      return AWSCredentials(accessKey: key, secretKey: secret, sessionToken: environment["AWS_SESSION_TOKEN"])
    case (_?, nil): throw AWSFailure("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not")
    case (nil, _?): throw AWSFailure("AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not")
    }
  }

  // MARK: File

  private func fromFile() async throws(AWSFailure) -> AWSCredentials? {
    let named = environment["AWS_SHARED_CREDENTIALS_FILE"]
    guard let path = named ?? environment["HOME"].map({ $0 + "/.aws/credentials" }) else { return nil }
    let profile = environment["AWS_PROFILE"] ?? "default"
    guard let text = await Self.contents(of: path) else {
      if named != nil { throw AWSFailure("AWS_SHARED_CREDENTIALS_FILE: \(path) cannot be read") }
      if environment["AWS_PROFILE"] != nil { throw AWSFailure("AWS_PROFILE is set, and \(path) cannot be read") }
      return nil
    }
    guard let values = Self.sections(of: text)[profile] else {
      if environment["AWS_PROFILE"] != nil { throw AWSFailure("\(path) has no profile \(profile)") }
      return nil
    }
    guard let key = values["aws_access_key_id"], let secret = values["aws_secret_access_key"] else {
      throw AWSFailure("the profile \(profile) in \(path) lacks aws_access_key_id or aws_secret_access_key")
    }
    return AWSCredentials(accessKey: key, secretKey: secret, sessionToken: values["aws_session_token"])
  }

  /// `[name]`, and `key = value` beneath it; `#` and `;` begin a comment line.
  static func sections(of text: String) -> [String: [String: String]] {
    var sections: [String: [String: String]] = [:]
    var name: String?
    for line in text.split(whereSeparator: \.isNewline) {
      let line = line.trimmingCharacters(in: .whitespaces)
      if line.isEmpty || line.hasPrefix("#") || line.hasPrefix(";") { continue }
      if line.hasPrefix("["), line.hasSuffix("]") {
        name = line.dropFirst().dropLast().trimmingCharacters(in: .whitespaces)
      } else if let name, let equals = line.firstIndex(of: "=") {
        let key = line[..<equals].trimmingCharacters(in: .whitespaces).lowercased()
        sections[name, default: [:]][key] = line[line.index(after: equals)...].trimmingCharacters(in: .whitespaces)
      }
    }
    return sections
  }

  private static func contents(of path: String) async -> String? {
    do {
      return try await NIOThreadPool.singleton.runIfActive {
        FileManager.default.contents(atPath: path).flatMap { String(validating: $0, as: UTF8.self) }
      }
    } catch {
      return nil
    }
  }

  // MARK: Container

  /// Where containers of ECS and pods of EKS ask; nobody else is told our token without TLS.
  private static let containerHosts: Set = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"]

  private func fromContainer() async throws(AWSFailure) -> AWSCredentials? {
    let url: String
    if let path = environment["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] {
      url = "http://169.254.170.2" + (path.hasPrefix("/") ? path : "/" + path)
    } else if let full = environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
      guard let components = URLComponents(string: full), let host = components.host else {
        throw AWSFailure("AWS_CONTAINER_CREDENTIALS_FULL_URI is no URL")
      }
      let bare = host.trimmingCharacters(in: ["[", "]"])
      let isNear = Self.containerHosts.contains(bare) || bare == "localhost" || IPAddress(bare)?.isLoopback == true
      guard components.scheme == "https" || components.scheme == "http" && isNear else {
        throw AWSFailure(
          "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to loopback or a container's own address")
      }
      url = full
    } else {
      return nil
    }
    var headers: [(name: String, value: String)] = []
    if let path = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] {
      guard let token = await Self.contents(of: path) else {
        throw AWSFailure("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: \(path) cannot be read")
      }
      headers.append(("authorization", try Self.header(token)))
    } else if let token = environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] {
      headers.append(("authorization", try Self.header(token)))
    }
    let answer = try await client.send("GET", url, headers: headers, within: .seconds(5))
    guard answer.status == 200 else {
      throw AWSFailure(
        "\(AWSClient.place(url)) answered \(answer.status) instead of credentials", isPassing: answer.status >= 500)
    }
    return try Self.credentials(in: answer, from: AWSClient.place(url))
  }

  private static func header(_ text: String) throws(AWSFailure) -> String {
    let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
    guard HeaderRules.isValue(text) else { throw AWSFailure("the container's authorization token is no header") }
    return text
  }

  // MARK: Machine

  /// IMDSv2: a session first, so that nobody who can only make us send a GET gets anything.
  private func fromMachine() async throws(AWSFailure) -> AWSCredentials {
    let none =
      "there are no AWS credentials: neither in the environment, nor in a profile, nor from a container or the machine"
    guard environment["AWS_EC2_METADATA_DISABLED"]?.lowercased() != "true" else { throw AWSFailure(none) }
    let base = environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"] ?? "http://169.254.169.254"
    let root = base.hasSuffix("/") ? String(base.dropLast()) : base
    let session: AWSClient.Answer
    do throws(AWSFailure) {
      session = try await client.send(
        "PUT", root + "/latest/api/token", headers: [("x-aws-ec2-metadata-token-ttl-seconds", "21600")],
        within: .seconds(2))
    } catch {
      throw AWSFailure("\(none) (\(error))", isPassing: true)
    }
    guard session.status == 200, HeaderRules.isValue(session.text) else {
      throw AWSFailure("\(none): the machine's metadata service answered \(session.status)", isPassing: true)
    }
    let headers = [(name: "x-aws-ec2-metadata-token", value: session.text)]
    let roles = root + "/latest/meta-data/iam/security-credentials/"
    let listed = try await client.send("GET", roles, headers: headers, within: .seconds(5))
    guard listed.status == 200, let role = listed.text.split(whereSeparator: \.isNewline).first else {
      throw AWSFailure("\(none): the machine has no role")
    }
    let allowed = CharacterSet.alphanumerics.union(CharacterSet(charactersIn: "+=,.@_-"))
    let name = String(role).addingPercentEncoding(withAllowedCharacters: allowed) ?? ""
    let answer = try await client.send("GET", roles + name, headers: headers, within: .seconds(5))
    guard answer.status == 200 else {
      throw AWSFailure("the machine's metadata service answered \(answer.status)", isPassing: true)
    }
    return try Self.credentials(in: answer, from: "the machine's metadata service")
  }

  private static func credentials(
    in answer: AWSClient.Answer, from place: String
  ) throws(AWSFailure) -> AWSCredentials {
    guard let json = answer.json, let key = json["AccessKeyId"]?.string, let secret = json["SecretAccessKey"]?.string
    else { throw AWSFailure("\(place) answered something that is no credentials", isPassing: true) }
    return AWSCredentials(
      accessKey: key, secretKey: secret, sessionToken: json["Token"]?.string,
      expiresAt: json["Expiration"]?.string.flatMap(Timestamp.init))
  }
}
