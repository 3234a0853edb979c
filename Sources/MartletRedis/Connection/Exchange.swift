// Commands that go out together and their answers, which come back in the same order. Made by `RedisClient`, carried by `Wire`.

internal import NIOCore

struct Exchange {
  typealias Answer = Result<[RedisValue], RedisError>

  let bytes: ByteBuffer
  /// So many answers are still to come.
  private(set) var missing: Int
  private var replies: [RedisValue] = []
  let deadline: NIODeadline
  let answer: (Answer) -> Void

  init(_ commands: [RedisCommand], deadline: NIODeadline, answer: @escaping (Answer) -> Void) {
    self.init(bytes: Self.written(commands), count: commands.count, deadline: deadline, answer: answer)
  }

  init(bytes: ByteBuffer, count: Int, deadline: NIODeadline, answer: @escaping (Answer) -> Void) {
    self.bytes = bytes
    self.deadline = deadline
    self.answer = answer
    missing = count
    replies.reserveCapacity(count)
  }

  mutating func add(_ reply: RedisValue) {
    replies.append(reply)
    missing -= 1
  }

  func succeed() {
    answer(.success(replies))
  }

  func fail(_ error: RedisError) {
    answer(.failure(error))
  }

  static func written(_ commands: [RedisCommand]) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.reserveCapacity(commands.reduce(0) { $0 + $1.body.count + 8 })
    for command in commands {
      buffer.writeString(command.head)
      buffer.writeBytes(command.body)
    }
    return buffer
  }
}
