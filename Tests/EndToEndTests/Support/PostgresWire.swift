// As much of PostgreSQL's protocol as it takes to know when a transaction is about to be committed and when that was
// answered: messages have a type and a length, a pipeline ends with Sync and its answer with ReadyForQuery.

internal import NIOCore

/// Cuts a stream of bytes into messages.
struct WireMessages {
  /// A client's first messages have no type.
  private(set) var isStarting: Bool
  private var bytes = ByteBuffer()

  enum Message {
    /// Asks for TLS or the like; to be answered by one byte.
    case encryptionRequest
    case startup(ByteBuffer)
    case message(type: UInt8, ByteBuffer)

    static let error = UInt8(ascii: "E")
    static let ready = UInt8(ascii: "Z")
  }

  init(ofClient: Bool) {
    isStarting = ofClient
  }

  mutating func append(_ more: ByteBuffer) {
    bytes.discardReadBytes()
    bytes.writeImmutableBuffer(more)
  }

  /// The next whole message, its head included.
  mutating func next() -> Message? {
    let head = isStarting ? 0 : 1
    guard let length = bytes.getInteger(at: bytes.readerIndex + head, as: UInt32.self),
      let message = bytes.readSlice(length: head + Int(length))
    else { return nil }
    guard isStarting else { return .message(type: message.getInteger(at: message.readerIndex) ?? 0, message) }
    let code = message.getInteger(at: message.readerIndex + 4, as: UInt32.self)
    if code == 80_877_103 || code == 80_877_104 { return .encryptionRequest }
    isStarting = false
    return .startup(message)
  }
}

/// What a client is about to have committed.
struct WirePipeline {
  struct Write: Sendable {
    /// As the client prepared it.
    var name: String
    /// In upper case.
    var sql: String
  }

  private var writers: [String: Write] = [:]
  /// The statements since the latest Sync that write.
  private(set) var writes: [Write] = []

  /// - Returns: true for the Sync of a pipeline that writes.
  mutating func note(type: UInt8, _ message: ByteBuffer) -> Bool {
    var message = message
    message.moveReaderIndex(forwardBy: 5)
    switch type {
    case UInt8(ascii: "P"):
      let name = message.readNullTerminatedString() ?? ""
      let sql = (message.readNullTerminatedString() ?? "").uppercased()
      let isWriter = ["INSERT INTO", "UPDATE ", "DELETE FROM"].contains { sql.contains($0) }
      writers[name] = isWriter ? Write(name: name, sql: sql) : nil
    case UInt8(ascii: "B"):
      _ = message.readNullTerminatedString()  // the portal
      let name = message.readNullTerminatedString() ?? ""
      if let write = writers[name] { writes.append(write) }
    case UInt8(ascii: "S"):
      return !writes.isEmpty
    default: break
    }
    return false
  }

  mutating func begin() {
    writes = []
  }
}
