// A script that Redis runs as one step. It is called by its name; where Redis has lost it, with its text, which Redis then keeps.

internal import Crypto

package struct RedisScript: Sendable {
  package let text: String
  /// SHA-1 of the text.
  package let name: String

  package init(_ text: String) {
    self.text = text
    name = Insecure.SHA1.hash(data: Array(text.utf8)).hex
  }

  /// What one call is given.
  package struct Call: Sendable {
    fileprivate var words: RedisCommand

    package init(keys: [String], _ arguments: RedisCommand = RedisCommand()) {
      words = RedisCommand("\(keys.count)")
      for key in keys { words.add(key) }
      words.add(arguments)
    }
  }

  fileprivate func byName(_ call: Call) -> RedisCommand {
    var command = RedisCommand("EVALSHA", name)
    command.add(call.words)
    return command
  }

  fileprivate func byText(_ call: Call) -> RedisCommand {
    var command = RedisCommand("EVAL", text)
    command.add(call.words)
    return command
  }
}

extension Sequence<UInt8> {
  fileprivate var hex: String {
    map { $0 < 16 ? "0\(String($0, radix: 16))" : String($0, radix: 16) }.joined()
  }
}

extension RedisClient {
  /// Runs a script once for each call, all in one round trip; where Redis does not know it yet, in two.
  /// - Throws: `.refused` for the first error. The other calls may have been done.
  package func run(_ script: RedisScript, _ calls: [RedisScript.Call]) async throws(RedisError) -> [RedisValue] {
    var replies = try await send(calls.map(script.byName))
    let unknown = replies.indices.filter { replies[$0].error?.hasPrefix("NOSCRIPT") ?? false }
    let more = try await send(unknown.map { script.byText(calls[$0]) })
    for (index, reply) in zip(unknown, more) { replies[index] = reply }
    for reply in replies {
      if let line = reply.error { throw RedisError(reply: line) }
    }
    return replies
  }
}
