// Which RabbitMQ, and what our exchange and queue are called there. Made from the configuration and from the command line.

internal import Foundation

package struct RabbitSettings: Sendable, Hashable {
  package static let defaultExchange = "martlet.events"
  package static let defaultDeadLetterQueue = "martlet.dead-letters"

  package let user: String
  let password: String
  package let host: String
  package let port: Int
  package let vhost: String
  package let isSecure: Bool
  /// A file with the certificates that are trusted (PEM), instead of the system's.
  package let certificates: String?
  package let exchange: String
  package let deadLetterQueue: String

  /// - Parameter url: `amqp://user:password@host:5672/vhost` or `amqps://…?ca=PATH`; user, password and virtual host
  ///   percent-encoded. What is left out is RabbitMQ's own default.
  package init(
    url: String, exchange: String = Self.defaultExchange, deadLetterQueue: String = Self.defaultDeadLetterQueue
  ) throws(RabbitProblem) {
    let parts = try RabbitURL(url)
    isSecure = parts.isSecure
    (user, password) = (parts.user ?? "guest", parts.password ?? "guest")
    (host, port) = (parts.host, parts.port ?? (parts.isSecure ? 5671 : 5672))
    vhost = parts.vhost ?? "/"
    certificates = parts.certificates
    self.exchange = try Self.name(exchange, of: "exchange")
    self.deadLetterQueue = try Self.name(deadLetterQueue, of: "dead-letter queue")
  }

  private static func name(_ name: String, of what: String) throws(RabbitProblem) -> String {
    guard 1...255 ~= name.utf8.count else {
      throw RabbitProblem("the name of the RabbitMQ \(what) must have 1 to 255 bytes")
    }
    guard !name.hasPrefix("amq.") else {
      throw RabbitProblem("the RabbitMQ \(what) \(name) must not begin with amq., which is the broker's own")
    }
    guard !name.utf8.contains(where: { $0 < 0x20 }) else {
      throw RabbitProblem("the name of the RabbitMQ \(what) holds a control character")
    }
    return name
  }

  /// For people.
  package var place: String { "RabbitMQ at \(host.contains(":") ? "[\(host)]" : host):\(port)" }
}

extension RabbitSettings: CustomStringConvertible, CustomReflectable {
  /// Without the password.
  package var description: String {
    "\(isSecure ? "amqps" : "amqp")://\(user):***@\(host):\(port), virtual host \(vhost)"
  }

  package var customMirror: Mirror { Mirror(self, children: ["url": description]) }
}

/// What is wrong with the settings, in one line and without the password.
package struct RabbitProblem: Error, Hashable, CustomStringConvertible {
  package let description: String

  init(_ description: String) {
    self.description = description
  }
}
