// Where the keys for tokens come from, and one reading of it, bounded in time and size. Called by `KeySetKeeper`.

internal import AsyncHTTPClient
internal import Foundation
internal import MartletEngine
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

enum KeySource: Sendable, Hashable {
  case secret(String)
  case file(path: String)
  case url(String)

  static let sizeLimit = 512 * 1024
  static let timeLimit = Duration.seconds(5)
  private static let redirectLimit = 3

  /// `auth.jwt.jwks`: a URL if it begins like one, else a path.
  init(jwks: String) {
    let lower = jwks.lowercased()
    if lower.hasPrefix("http://") || lower.hasPrefix("https://") {
      self = .url(jwks)
    } else {
      self = .file(path: jwks)
    }
  }

  /// For logs. A query may hold a secret.
  var shown: String {
    switch self {
    case .secret: "auth.jwt.secret"
    case .file(let path): path
    case .url(let url): String(url.prefix { $0 != "?" })
    }
  }

  func read(clock: any EngineClock) async throws -> KeySet {
    switch self {
    case .secret(let secret): try await KeySet(secret: secret)
    case .file, .url: try await KeySet(jwks: try await bytes(clock: clock))
    }
  }

  private func bytes(clock: any EngineClock) async throws -> [UInt8] {
    try await withThrowingTaskGroup(of: [UInt8].self) { group in
      group.addTask {
        switch self {
        case .secret: []
        case .file(let path):
          try await NIOThreadPool.singleton.runIfActive { try BoundedFile.contents(of: path, upTo: Self.sizeLimit) }
        case .url(let url): try await Self.fetch(url)
        }
      }
      group.addTask {
        try await clock.sleep(for: Self.timeLimit)
        throw KeySetFault("no full answer within \(Self.timeLimit)")
      }
      defer { group.cancelAll() }
      return try await group.next() ?? []
    }
  }

  /// A client for each time: it is needed once in minutes.
  private static func fetch(_ url: String) async throws -> [UInt8] {
    var configuration = HTTPClient.Configuration()
    configuration.redirectConfiguration = .disallow
    configuration.connectionPool.retryConnectionEstablishment = false
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    let result: Result<[UInt8], any Error>
    do {
      result = .success(try await follow(url, with: client))
    } catch {
      result = .failure(error)
    }
    try? await client.shutdown()  // the only error is a second shutdown
    return try result.get()
  }

  private static func follow(_ url: String, with client: HTTPClient) async throws -> [UInt8] {
    var url = url
    for _ in 0...redirectLimit {
      var request = HTTPClientRequest(url: url)
      request.headers.add(name: "accept", value: "application/jwk-set+json, application/json")
      let response = try await client.execute(request, deadline: .distantFuture)
      if let location = response.headers.first(name: "location"), (300..<400).contains(response.status.code) {
        guard let next = sameOrigin(location, as: url) else { throw KeySetFault("it redirects to another host") }
        url = next
        continue
      }
      guard response.status == .ok else { throw KeySetFault("it answers \(response.status.code)") }
      var bytes: [UInt8] = []
      for try await part in response.body {
        guard bytes.count + part.readableBytes <= sizeLimit else { throw KeySetFault.tooLarge }
        bytes.append(contentsOf: part.readableBytesView)
      }
      return bytes
    }
    throw KeySetFault("it redirects more than \(redirectLimit) times")
  }

  /// Nobody else than who was configured may say which keys are good.
  private static func sameOrigin(_ location: String, as url: String) -> String? {
    guard let old = URL(string: url), let new = URL(string: location, relativeTo: old)?.absoluteURL,
      new.scheme?.lowercased() == old.scheme?.lowercased(), new.host?.lowercased() == old.host?.lowercased(),
      new.port == old.port, new.user == nil
    else { return nil }
    return new.absoluteString
  }
}

extension KeySetFault {
  fileprivate static let tooLarge = KeySetFault("it is larger than \(KeySource.sizeLimit) bytes")

  /// For the log: what a client library says may be long.
  init(_ error: any Error) {
    switch error {
    case let fault as KeySetFault: self = fault
    case let fault as FileFault: self.init(fault.description)
    case let error as HTTPClientError: self.init(error.shortDescription)
    case let error as IOError: self.init(String(cString: strerror(error.errnoCode)).lowercased())
    case let error as NIOConnectionError:
      self = error.connectionErrors.first.map { KeySetFault($0.error) } ?? KeySetFault("its host cannot be resolved")
    default: self.init(String(String(describing: error).prefix(200)))
    }
  }
}
