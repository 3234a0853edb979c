// Makes values of the bytes that Redis sends: hiredis' reader finds its way in the protocol, the values are built here. What a server
// may make it hold is bounded: a length that promises more is an error and reserves nothing. Called by `Wire`, on its event loop.

internal import CHiredis
internal import NIOCore

final class ReplyReader {
  struct Broken: Error, Hashable {
    let reason: String
  }

  /// Far above any answer to what we ask.
  struct Limits {
    var bytes = 64 << 20
    var values = 1 << 20
  }

  private let limits: Limits
  private let builder: ReplyBuilder
  private let reader: UnsafeMutablePointer<redisReader>
  /// The reader refers to them as long as it lives.
  private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>

  init(_ limits: Limits = Limits()) {
    self.limits = limits
    builder = ReplyBuilder(limits)
    functions = .allocate(capacity: 1)
    functions.initialize(to: .building)
    guard let reader = redisReaderCreateWithFunctions(functions) else { preconditionFailure("no memory") }
    reader.pointee.privdata = Unmanaged.passUnretained(builder).toOpaque()
    self.reader = reader
  }

  deinit {
    redisReaderFree(reader)
    functions.deallocate()
  }

  /// After it has thrown, the reader is of no more use, and neither is the connection.
  func feed(_ bytes: ByteBuffer) throws(Broken) {
    guard reader.pointee.len - reader.pointee.pos + bytes.readableBytes <= limits.bytes else {
      throw Broken(reason: "an answer is longer than \(limits.bytes) bytes")
    }
    let status = bytes.withUnsafeReadableBytes { bytes in
      redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    }
    guard status == REDIS_OK else { throw Broken(reason: said) }
  }

  /// The next whole value; nil where more bytes have to come first.
  func next() throws(Broken) -> RedisValue? {
    var object: UnsafeMutableRawPointer?
    guard redisReaderGetReply(reader, &object) == REDIS_OK else {
      throw Broken(reason: builder.isFull ? "an answer holds too much" : said)
    }
    return object == nil ? nil : builder.takeFinished()
  }

  private var said: String {
    // The array of C is a tuple here.
    let words = withUnsafeBytes(of: &reader.pointee.errstr) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    return "it does not speak the protocol of Redis: \(words)"
  }
}

/// Puts the parts of an answer together: arrays that are not full yet stand on a stack.
final class ReplyBuilder {
  private struct Open {
    var missing: Int
    var values: [RedisValue] = []
  }

  private let limits: ReplyReader.Limits
  private var stack: [Open] = []
  private var finished: RedisValue?
  private var bytes = 0
  private var values = 0
  private(set) var isFull = false

  init(_ limits: ReplyReader.Limits) {
    self.limits = limits
  }

  func takeFinished() -> RedisValue? {
    defer { finished = nil }
    (bytes, values) = (0, 0)
    return finished
  }

  /// - Returns: whether there is room; false ends the reading.
  func add(_ value: RedisValue, size: Int = 0) -> Bool {
    guard count(values: 1, bytes: size) else { return false }
    var value = value
    while var top = stack.popLast() {
      top.values.append(value)
      top.missing -= 1
      guard top.missing == 0 else {
        stack.append(top)
        return true
      }
      value = .array(top.values)
    }
    finished = value
    return true
  }

  func open(_ length: Int) -> Bool {
    guard length > 0 else { return length == 0 && add(.array([])) }
    guard length <= limits.values, count(values: 1, bytes: 0) else {
      isFull = true
      return false
    }
    stack.append(Open(missing: length))
    return true
  }

  private func count(values: Int, bytes: Int) -> Bool {
    self.values += values
    self.bytes += bytes
    isFull = isFull || self.values > limits.values || self.bytes > limits.bytes
    return !isFull
  }
}

extension redisReplyObjectFunctions {
  /// The reader keeps what these return only to know that they went well: it is the builder, always the same.
  fileprivate static var building: redisReplyObjectFunctions {
    redisReplyObjectFunctions(
      createString: { task, text, length in
        built(task) { builder in
          let bytes = [UInt8](UnsafeRawBufferPointer(start: text, count: length))
          let isError = task?.pointee.type == REDIS_REPLY_ERROR
          return builder.add(isError ? .error(String(decoding: bytes, as: UTF8.self)) : .text(bytes), size: length)
        }
      },
      createArray: { task, length in built(task) { $0.open(Int(length)) } },
      createInteger: { task, value in built(task) { $0.add(.integer(value)) } },
      createNil: { task in built(task) { $0.add(.null) } },
      freeObject: { _ in })
  }
}

private func built(
  _ task: UnsafePointer<redisReadTask>?, _ build: (ReplyBuilder) -> Bool
) -> UnsafeMutableRawPointer? {
  guard let data = task?.pointee.privdata else { return nil }
  return build(Unmanaged<ReplyBuilder>.fromOpaque(data).takeUnretainedValue()) ? data : nil
}
