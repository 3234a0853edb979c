// Stands between Martlet and PostgreSQL and breaks connections at the worst moments: just before the word that commits a
// write reaches the server, or just before the answer of that commit reaches the client. It can also stand still, or turn
// everybody away.

internal import NIOCore
internal import NIOPosix
internal import Synchronization

final class CuttingProxy: Sendable {
  enum Cut: Sendable {
    /// The server never hears of the commit.
    case beforeCommit
    /// It is committed, and the client is not told.
    case afterCommit
  }

  enum Manner: Sendable {
    case pass
    /// Takes connections and lets nothing through.
    case stall
    /// Ends all connections, and each new one at once.
    case refuse
  }

  struct Counts: Sendable {
    var beforeCommit = 0
    var afterCommit = 0
    /// The statements in what was cut, each with how often.
    var statements: [String: Int] = [:]
  }

  let port: Int
  private let server: Int
  private let state: Mutex<State>

  private struct State {
    var random: SplitMix
    var manner = Manner.pass
    var planned: Plan?
    var probability = 0.0
    /// How it goes on after the cut that was planned.
    var mannerAfterCut: Manner?
    var counts = Counts()
    var connections: [ObjectIdentifier: any Channel] = [:]
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private struct Plan {
    let cut: Cut
    let text: String
    let manner: Manner?
  }

  private init(port: Int, server: Int, seed: UInt64) {
    self.port = port
    self.server = server
    state = Mutex(State(random: SplitMix(seed: seed)))
  }

  /// Stands before a server's port while `body` runs.
  static func serving<Value: Sendable>(
    before server: Int, seed: UInt64 = 0, _ body: (CuttingProxy) async throws -> Value
  ) async throws -> Value {
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .bind(host: "127.0.0.1", port: 0, childChannelInitializer: wrap)
    let proxy = CuttingProxy(port: listener.channel.localAddress?.port ?? 0, server: server, seed: seed)
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await proxy.accept(listener) }
      let result: Result<Value, any Error>
      do { result = .success(try await body(proxy)) } catch { result = .failure(error) }
      // Those that are connected, or come this very moment, are sent away in good order.
      proxy.set(.refuse)
      try? await listener.channel.close()
      try await group.waitForAll()
      return try result.get()
    }
  }

  // MARK: What it is told to do

  var counts: Counts { state.withLock(\.counts) }

  func set(_ manner: Manner) {
    let (connections, waiting) = state.withLock { state in
      state.manner = manner
      let connections = manner == .refuse ? Array(state.connections.values) : []
      let waiting = manner == .stall ? [] : state.waiting
      if manner != .stall { state.waiting = [] }
      return (connections, waiting)
    }
    for connection in connections { connection.close(promise: nil) }
    for continuation in waiting { continuation.resume() }
  }

  /// Cuts this share of all writes, at random one way or the other.
  func cut(share: Double) {
    state.withLock { $0.probability = share }
  }

  /// Cuts the next write whose SQL has this text, and then turns to another manner.
  func cutNext(_ text: String, _ cut: Cut, then manner: Manner? = nil) {
    state.withLock { $0.planned = Plan(cut: cut, text: text.uppercased(), manner: manner) }
  }

  // MARK: Connections

  private typealias Stream = NIOAsyncChannel<ByteBuffer, ByteBuffer>

  @Sendable private static func wrap(_ channel: any Channel) -> EventLoopFuture<Stream> {
    channel.eventLoop.makeCompletedFuture { try Stream(wrappingChannelSynchronously: channel) }
  }

  private func accept(_ listener: NIOAsyncChannel<Stream, Never>) async throws {
    try await listener.executeThenClose { clients in
      try await withThrowingDiscardingTaskGroup { group in
        for try await client in clients {
          // How a connection ends is what this is all about; it is no trouble of the proxy's.
          group.addTask { try? await self.serve(client) }
        }
      }
    }
  }

  private func serve(_ client: Stream) async throws {
    try await client.executeThenClose { fromClient, toClient in
      guard state.withLock({ $0.manner != .refuse }) else { return }
      // Wrapped only once it is connected: what is wrapped must be used. The server never speaks first.
      let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(host: "127.0.0.1", port: server).get()
      let server = try await channel.eventLoop.submit { try Stream(wrappingChannelSynchronously: channel) }.get()
      state.withLock { $0.connections[ObjectIdentifier(client.channel)] = client.channel }
      defer { state.withLock { _ = $0.connections.removeValue(forKey: ObjectIdentifier(client.channel)) } }
      try await server.executeThenClose { fromServer, toServer in
        let conversation = Conversation()
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { try await self.pass(fromClient, to: toServer, answers: toClient, conversation) }
          group.addTask { try await self.pass(fromServer, to: toClient, conversation) }
          defer { group.cancelAll() }
          _ = try await group.next()
        }
      }
    }
  }

  /// What the two directions of a connection know of each other.
  private final class Conversation: Sendable {
    /// The statements of a pipeline whose answer is kept back.
    let heldBack = Mutex<[WirePipeline.Write]?>(nil)
  }

  /// Until the client leaves, or a cut.
  private func pass(
    _ stream: NIOAsyncChannelInboundStream<ByteBuffer>, to server: NIOAsyncChannelOutboundWriter<ByteBuffer>,
    answers client: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ conversation: Conversation
  ) async throws {
    var messages = WireMessages(ofClient: true)
    var pipeline = WirePipeline()
    for try await bytes in stream {
      await pause()
      messages.append(bytes)
      var outgoing = ByteBuffer()
      while let message = messages.next() {
        switch message {
        case .encryptionRequest: try await client.write(ByteBuffer(string: "N"))
        case .startup(let message): outgoing.writeImmutableBuffer(message)
        case .message(let type, let message):
          if pipeline.note(type: type, message) {
            switch decide(about: pipeline.writes) {
            case .beforeCommit:
              try await server.write(outgoing)  // carried out, and not committed
              count(.beforeCommit, pipeline.writes)
              return
            case .afterCommit: conversation.heldBack.withLock { $0 = pipeline.writes }
            case nil: break
            }
          }
          if type == UInt8(ascii: "S") { pipeline.begin() }
          outgoing.writeImmutableBuffer(message)
        }
      }
      if outgoing.readableBytes > 0 { try await server.write(outgoing) }
    }
  }

  /// Until the server ends it, or a cut.
  private func pass(
    _ stream: NIOAsyncChannelInboundStream<ByteBuffer>, to client: NIOAsyncChannelOutboundWriter<ByteBuffer>,
    _ conversation: Conversation
  ) async throws {
    var messages = WireMessages(ofClient: false)
    var isRefused = false
    for try await bytes in stream {
      await pause()
      messages.append(bytes)
      var outgoing = ByteBuffer()
      while case .message(let type, let message)? = messages.next() {
        guard let writes = conversation.heldBack.withLock(\.self) else {
          outgoing.writeImmutableBuffer(message)
          continue
        }
        isRefused = isRefused || type == WireMessages.Message.error
        guard type == WireMessages.Message.ready else { continue }
        if !isRefused { count(.afterCommit, writes) }
        return
      }
      if outgoing.readableBytes > 0 { try await client.write(outgoing) }
    }
  }

  /// Waits while it stands still.
  private func pause() async {
    await withCheckedContinuation { continuation in
      let goesOn = state.withLock { state in
        if state.manner == .stall { state.waiting.append(continuation) }
        return state.manner != .stall
      }
      if goesOn { continuation.resume() }
    }
  }

  private func decide(about writes: [WirePipeline.Write]) -> Cut? {
    state.withLock { state in
      if let plan = state.planned, writes.contains(where: { $0.sql.contains(plan.text) }) {
        state.planned = nil
        state.mannerAfterCut = plan.manner
        return plan.cut
      }
      guard Double.random(in: 0..<1, using: &state.random) < state.probability else { return nil }
      return Bool.random(using: &state.random) ? .beforeCommit : .afterCommit
    }
  }

  private func count(_ cut: Cut, _ writes: [WirePipeline.Write]) {
    let manner = state.withLock { state in
      switch cut {
      case .beforeCommit: state.counts.beforeCommit += 1
      case .afterCommit: state.counts.afterCommit += 1
      }
      for write in writes { state.counts.statements[write.name, default: 0] += 1 }
      defer { state.mannerAfterCut = nil }
      return state.mannerAfterCut
    }
    if let manner { set(manner) }
  }
}
