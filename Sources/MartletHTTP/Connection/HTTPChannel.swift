// A connection as Hummingbird's server accepts it: HTTP/1.1 with this project's own limits at its edge, and the
// responder behind. Made by `HTTPServer`.

internal import Foundation
internal import HTTPTypes
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import NIOHTTP1
internal import NIOHTTPTypes

/// What a connection may cost.
struct ConnectionLimits: Sendable {
  var bodyBytes: Int
  /// From a request's head to its end.
  var bodyTime: TimeAmount
  /// Without a request, or for a request's head to arrive.
  var idleTime: TimeAmount
  /// To read on after the last answer, so that it is not lost.
  var lingerTime: TimeAmount
  /// For the handshake of TLS.
  var handshakeTime: TimeAmount
  /// For the client to take an answer that does not fit the socket.
  var answerTime = TimeAmount.minutes(5)
  var headerFieldBytes = 16 * 1024
  /// Request line included.
  var headerBytes = 64 * 1024
  var headerFields = 100

  /// As many files as this process may have open, but for those that it needs for its own work: who opens many connections must
  /// not keep it from its database.
  static var mostConnections: Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 512 }
    let files = Int(clamping: limit.rlim_cur)
    return max(16, files - max(128, files / 8))
  }

  var bodyTimeText: String {
    let seconds = Double(bodyTime.nanoseconds) / 1e9
    return seconds == seconds.rounded() ? "\(Int(seconds)) s" : "\(seconds) s"
  }
}

struct HTTPChannel: HTTPChannelHandler {
  typealias Value = NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>

  let limits: ConnectionLimits
  /// Nil: without encryption.
  let tls: TLSKeeper?
  let responder: HTTPChannelHandler.Responder
  let refuse: @Sendable (Problem) -> (head: HTTPResponse, body: [UInt8])

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
    channel.eventLoop.makeCompletedFuture {
      var decoderLimits = NIOHTTPDecoderLimitConfiguration()
      decoderLimits.maxHeaderFieldSize = limits.headerFieldBytes
      decoderLimits.maxHeaderListSize = limits.headerBytes
      decoderLimits.maxHeaderFieldCount = limits.headerFields
      let pipeline = channel.pipeline.syncOperations
      if let tls {
        guard let context = tls.context else { throw ChannelError.ioOnClosedChannel }
        try pipeline.addTLS(context, handshakeTime: limits.handshakeTime)
      }
      try pipeline.configureHTTPServerPipeline(
        withPipeliningAssistance: false,  // the async channel keeps the order
        withErrorHandling: false,  // HTTPEdge's part
        withOutboundHeaderValidation: false,  // HTTPFields cannot hold what would fail it
        withEncoderConfiguration: .init(), withDecoderLimitConfiguration: decoderLimits)
      try pipeline.addHandler(HTTPEdge(limits: limits, answer: refuse))
      try pipeline.addHandler(ClientPresence())
      try pipeline.addHandler(
        HTTPConnectionStateHandler(idleTimeout: .nanoseconds(limits.idleTime.nanoseconds), logger: logger))
      return try NIOAsyncChannel(
        wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
    }
  }

  func handle(value: Value, logger: Logger) async {
    await handleHTTP(asyncChannel: value, logger: logger)
  }
}
