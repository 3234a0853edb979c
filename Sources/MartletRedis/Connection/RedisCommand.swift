// One command, written as it goes over the wire: an array of strings (https://redis.io/docs/latest/develop/reference/protocol-spec/).

package struct RedisCommand: Sendable {
  private(set) var count = 0
  /// All words, each with its length before it.
  private(set) var body: [UInt8] = []

  package init(_ words: String...) {
    for word in words { add(word) }
  }

  package init(_ words: [[UInt8]]) {
    for word in words { add(word) }
  }

  package mutating func add(_ word: String) {
    begin(word.utf8.count)
    body.append(contentsOf: word.utf8)
    end()
  }

  package mutating func add(_ word: [UInt8]) {
    begin(word.count)
    body.append(contentsOf: word)
    end()
  }

  package mutating func add(_ number: Int64) {
    add(String(number))
  }

  /// The words of another one behind its own.
  package mutating func add(_ other: RedisCommand) {
    count += other.count
    body.append(contentsOf: other.body)
  }

  /// The count of words, which stands before the body.
  var head: String { "*\(count)\r\n" }

  private mutating func begin(_ length: Int) {
    count += 1
    body.append(UInt8(ascii: "$"))
    body.append(contentsOf: String(length).utf8)
    end()
  }

  private mutating func end() {
    body.append(UInt8(ascii: "\r"))
    body.append(UInt8(ascii: "\n"))
  }
}
