// The three pipes between this program and one that it runs, read and written on an event loop. Used by `ProgramRun`.

internal import Foundation
internal import NIOCore
internal import NIOPosix

struct Pipes: Sendable {
  /// The program's ends; whoever starts it closes them.
  let inputEnd: Int32
  let outputEnd: Int32
  let errorsEnd: Int32
  private let input: any Channel
  private let output: any Channel
  private let errors: any Channel

  /// - Parameter input: is written, then that pipe is closed. A program that does not read it does no harm.
  static func open(
    on loop: any EventLoop, input bytes: [UInt8], onOutput: @escaping @Sendable (ByteBufferView) -> Void,
    onErrors: @escaping @Sendable (ByteBufferView) -> Void
  ) async throws -> Pipes {
    var ends: [Int32] = []
    var channels: [any Channel] = []
    var unowned: Int32?
    do {
      for piece in 0..<3 {
        let (reading, writing) = try pair()
        let (ours, theirs) = piece == 0 ? (writing, reading) : (reading, writing)
        ends.append(theirs)
        unowned = ours
        let bootstrap = NIOPipeBootstrap(group: loop)
        switch piece {
        case 0: channels.append(try await bootstrap.takingOwnershipOfDescriptor(output: ours).get())
        case 1: channels.append(try await reader(bootstrap, ours, onOutput))
        default: channels.append(try await reader(bootstrap, ours, onErrors))
        }
        unowned = nil
      }
    } catch {
      for channel in channels { channel.close(promise: nil) }
      for end in ends + [unowned].compactMap(\.self) { Foundation.close(end) }
      throw error
    }
    let pipes = Pipes(
      inputEnd: ends[0], outputEnd: ends[1], errorsEnd: ends[2], input: channels[0], output: channels[1],
      errors: channels[2])
    pipes.write(bytes)
    return pipes
  }

  /// By everybody who could write to them.
  func outputsAreClosed() async {
    for channel in [output, errors] { try? await channel.closeFuture.get() }
  }

  func close() {
    for channel in [input, output, errors] { channel.close(promise: nil) }
  }

  private func write(_ bytes: [UInt8]) {
    input.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { [input] _ in input.close(promise: nil) }
  }

  private static func reader(
    _ bootstrap: NIOPipeBootstrap, _ descriptor: Int32, _ sink: @escaping @Sendable (ByteBufferView) -> Void
  ) async throws -> any Channel {
    try await bootstrap.channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Sink(sink)) }
    }.takingOwnershipOfDescriptor(input: descriptor).get()
  }

  private static func pair() throws -> (reading: Int32, writing: Int32) {
    var pair: [Int32] = [-1, -1]
    guard pipe(&pair) == 0 else { throw IOError(errnoCode: errno, reason: "pipe") }
    // Not for programs that somebody else starts just now.
    for end in pair { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (pair[0], pair[1])
  }

  private final class Sink: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let sink: @Sendable (ByteBufferView) -> Void

    init(_ sink: @escaping @Sendable (ByteBufferView) -> Void) {
      self.sink = sink
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      sink(unwrapInboundIn(data).readableBytesView)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      context.close(promise: nil)
    }
  }
}
