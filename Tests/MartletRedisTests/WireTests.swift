// One connection, without a network and on a clock of its own.

internal import MartletCore
internal import NIOCore
internal import NIOEmbedded
internal import Testing

@testable internal import MartletRedis

struct WireTests {
  private final class Told {
    var answers: [Exchange.Answer] = []
    var ends: [RedisError] = []
    var pushes: [RedisValue] = []
  }

  private let channel = EmbeddedChannel()
  private let told = Told()
  private let wire: Wire

  init() throws {
    let told = told
    let settings = try RedisSettings(RedisURL("redis://host"), random: RandomSource(seed: 1))
    wire = Wire(settings, onPush: { told.pushes.append($0) })
    wire.onEnd = { error, _ in told.ends.append(error) }
    try channel.pipeline.syncOperations.addHandler(wire)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
  }

  private func send(_ commands: RedisCommand..., within: TimeAmount = .seconds(1)) {
    wire.send(Exchange(commands, deadline: channel.eventLoop.now + within) { [told] in told.answers.append($0) })
  }

  private func receive(_ text: String) throws {
    try channel.writeInbound(ByteBuffer(string: text))
  }

  private func failed(_ reason: String) -> Exchange.Answer {
    .failure(.unavailable("Redis at host:6379: \(reason)"))
  }

  @Test func `Answers go to whoever asked, in order, and what is said at one moment goes out at once`() throws {
    send(RedisCommand("A"), RedisCommand("B"))
    send(RedisCommand("C"))
    #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
    channel.embeddedEventLoop.run()
    #expect(
      try channel.readOutbound(as: ByteBuffer.self).map { String(buffer: $0) } == "*1\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n")
    #expect(try channel.readOutbound(as: ByteBuffer.self).map { String(buffer: $0) } == "*1\r\n$1\r\nC\r\n")
    try receive(":1\r\n:")
    #expect(told.answers.isEmpty)
    try receive("2\r\n-ERR three\r\n")
    #expect(told.answers == [.success([.integer(1), .integer(2)]), .success([.error("ERR three")])])
    #expect(told.ends.isEmpty)
  }

  @Test func `Messages of a channel answer nobody`() throws {
    send(RedisCommand("PING"))
    try receive("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n")
    #expect(told.pushes.map { $0.array?.last?.string } == ["hi"])
    #expect(told.answers == [.success([.array([.text(Array("pong".utf8)), .text([])])])])
  }

  @Test func `The first whose time is over ends the connection for all`() throws {
    send(RedisCommand("A"))
    channel.embeddedEventLoop.advanceTime(by: .milliseconds(900))
    send(RedisCommand("B"))
    try receive(":1\r\n")
    channel.embeddedEventLoop.advanceTime(by: .milliseconds(999))
    send(RedisCommand("C"))
    #expect(told.answers == [.success([.integer(1)])])
    channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
    let over = failed("no answer within 1000 ms")
    #expect(told.answers == [.success([.integer(1)]), over, over])
    #expect(told.ends.count == 1)
    #expect(!channel.isActive)
    send(RedisCommand("D"))
    #expect(told.answers.last == over)
  }

  @Test(arguments: [
    "$99999999999999999999999\r\n", "*1000000000\r\n", "HTTP/1.1 200 OK\r\n",
    "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
  ])
  func `What no Redis would say ends the connection`(_ text: String) throws {
    send(RedisCommand("A"))
    for byte in text.utf8 where channel.isActive { try receive(String(decoding: [byte], as: UTF8.self)) }
    #expect(!channel.isActive)
    #expect(told.answers.count == 1 && told.ends.count == 1)
    guard case .failure(.unavailable)? = told.answers.first else {
      Issue.record("\(told.answers)")
      return
    }
  }

  @Test func `An answer that nobody asked for ends the connection, with its own reason if it has one`() throws {
    try receive("-ERR max number of clients reached\r\n")
    #expect(told.ends == [.unavailable("Redis at host:6379: ERR max number of clients reached")])
    #expect(!channel.isActive)
  }

  @Test func `When Redis closes, all who wait are told`() throws {
    send(RedisCommand("A"))
    send(RedisCommand("B"))
    _ = channel.close()
    channel.embeddedEventLoop.run()
    let closed = failed("it closed the connection")
    #expect(told.answers == [closed, closed])
  }
}
