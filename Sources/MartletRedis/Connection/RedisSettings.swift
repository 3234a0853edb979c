// What every connection to Redis is made with. Put together once at the start; what is wrong with it is said then.

package import MartletCore
internal import NIOCore
internal import NIOSSL

package struct RedisSettings: Sendable {
  package let url: RedisURL
  /// For connecting and its greeting together, and for each call.
  package let timeout: Duration
  package let backoff: Backoff
  /// What `CLIENT LIST` shows.
  package let name: String
  /// The pauses between tries to connect are not quite regular.
  package let random: RandomSource
  let tls: NIOSSLContext?

  /// - Throws: `.unusable` where the certificates cannot be read.
  package init(
    _ url: RedisURL, timeout: Duration = .seconds(1), backoff: Backoff = Backoff(), name: String = "martlet",
    random: RandomSource
  ) throws(RedisError) {
    self.url = url
    self.timeout = timeout
    self.backoff = backoff
    self.name = name
    self.random = random
    tls = url.isTLS ? try Self.context(ca: url.ca) : nil
  }

  private static func context(ca: String?) throws(RedisError) -> NIOSSLContext {
    var configuration = TLSConfiguration.makeClientConfiguration()
    if let ca { configuration.trustRoots = .file(ca) }
    do {
      return try NIOSSLContext(configuration: configuration)
    } catch {
      throw .unusable("the certificates that Redis' is judged by cannot be read: \(ca ?? "the system's own")")
    }
  }

  func tlsHandler() throws -> NIOSSLClientHandler? {
    guard let tls else { return nil }
    // An address is no name that could be asked for; it is held against the certificate all the same.
    let isAddress = (try? SocketAddress(ipAddress: url.host, port: 0)) != nil
    return try NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : url.host)
  }

  /// With the place, and without the password, whatever the other side made of it.
  func told(_ error: RedisError) -> RedisError {
    let line = url.password.map { error.message.replacing($0, with: "***") } ?? error.message
    let prefix = "Redis at \(url.place): "
    let message = line.hasPrefix(prefix) ? line : prefix + line
    return if case .refused = error { .refused(message) } else { .unavailable(message) }
  }

  /// What each connection says first.
  var greeting: [Greeting] {
    var greeting: [Greeting] = []
    if let password = url.password {
      var auth = RedisCommand("AUTH")
      if let user = url.user { auth.add(user) }
      auth.add(password)
      greeting.append(Greeting(auth))
    }
    if url.database != 0 { greeting.append(Greeting(RedisCommand("SELECT", "\(url.database)"))) }
    // A user may lack the right to these, and still have all that is needed.
    greeting.append(Greeting(RedisCommand("CLIENT", "SETNAME", name), excuse: "NOPERM"))
    greeting.append(Greeting(RedisCommand("PING"), excuse: "NOPERM"))
    return greeting
  }
}

/// One command of the greeting.
struct Greeting: Sendable {
  let command: RedisCommand
  /// The code of an error that does no harm.
  let excuse: String?

  init(_ command: RedisCommand, excuse: String? = nil) {
    self.command = command
    self.excuse = excuse
  }

  /// What is wrong with the answers; nil where all is well.
  static func trouble(_ greeting: [Greeting], _ replies: [RedisValue]) -> RedisError? {
    for (step, reply) in zip(greeting, replies) {
      guard let line = reply.error else { continue }
      if let excuse = step.excuse, line.hasPrefix(excuse) { continue }
      return RedisError(reply: line)
    }
    return nil
  }
}
