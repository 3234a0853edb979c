// Takes an AMQP URL apart (https://www.rabbitmq.com/uri-spec.html). For `RabbitSettings`.

internal import Foundation

struct RabbitURL {
  let isSecure: Bool
  var user: String?
  var password: String?
  let host: String
  let port: Int?
  var vhost: String?
  var certificates: String?

  /// Nothing of what stands between `://` and `@` is ever quoted.
  init(_ url: String) throws(RabbitProblem) {
    guard let (scheme, isSecure) = [("amqp://", false), ("amqps://", true)].first(where: { url.hasPrefix($0.0) }) else {
      throw RabbitProblem("the RabbitMQ URL must begin with amqp:// or amqps://")
    }
    self.isSecure = isSecure
    let rest = url.dropFirst(scheme.count)
    let authority = rest.prefix { $0 != "/" && $0 != "?" }
    let afterwards = rest[authority.endIndex...]
    let path = afterwards.prefix { $0 != "?" }
    let query = afterwards[path.endIndex...].dropFirst()

    if let at = authority.lastIndex(of: "@") {
      let credentials = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      user = try Self.decoded(credentials[0], "user")
      if credentials.count > 1 { password = try Self.decoded(credentials[1], "password") }
      (host, port) = try Self.place(authority[authority.index(after: at)...])
    } else {
      (host, port) = try Self.place(authority)
    }
    // A lone slash is taken for what nearly everybody means by it: the default, not a virtual host without a name.
    if path.count > 1 {
      guard !path.dropFirst().contains("/") else {
        throw RabbitProblem(
          "the RabbitMQ URL has more than a virtual host in its path: a slash in its name is written %2F")
      }
      vhost = try Self.decoded(path.dropFirst(), "virtual host")
    }
    for parameter in query.split(separator: "&") {
      let words = parameter.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard words[0] == "ca" else { throw RabbitProblem("the RabbitMQ URL has an unknown parameter: \(words[0])") }
      guard words.count == 2, !words[1].isEmpty else { throw RabbitProblem("the RabbitMQ URL's ca names no file") }
      guard isSecure else { throw RabbitProblem("the RabbitMQ URL's ca is of no use without amqps://") }
      certificates = try Self.decoded(words[1], "ca")
    }
  }

  private static func place(_ text: Substring) throws(RabbitProblem) -> (host: String, port: Int?) {
    var (host, port) = (text, Substring?.none)
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else {
        throw RabbitProblem("the RabbitMQ URL's host has no closing bracket")
      }
      host = text[text.index(after: text.startIndex)..<end]
      let rest = text[text.index(after: end)...]
      guard rest.isEmpty || rest.hasPrefix(":") else {
        throw RabbitProblem("the RabbitMQ URL has something between its host and its port")
      }
      port = rest.isEmpty ? nil : rest.dropFirst()
    } else if let colon = text.firstIndex(of: ":") {
      (host, port) = (text[..<colon], text[text.index(after: colon)...])
    }
    guard !host.isEmpty else { throw RabbitProblem("the RabbitMQ URL has no host") }
    guard let port else { return (String(host), nil) }
    guard let number = Int(port), 1...65535 ~= number else {
      // Not quoted: with a slash in a password that is not encoded, this is the password.
      throw RabbitProblem(
        "the RabbitMQ URL's port is not a number from 1 to 65535, or its password holds a / or ? that is not encoded")
    }
    return (String(host), number)
  }

  private static func decoded(_ text: Substring, _ what: String) throws(RabbitProblem) -> String {
    guard let decoded = String(text).removingPercentEncoding else {
      throw RabbitProblem("the RabbitMQ URL's \(what) is not percent-encoded UTF-8")
    }
    guard !decoded.utf8.contains(0) else { throw RabbitProblem("the RabbitMQ URL's \(what) holds a zero byte") }
    return decoded
  }
}
