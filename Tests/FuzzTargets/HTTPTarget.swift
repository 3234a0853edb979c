// Bytes as they come in on a connection, read by NIO's parser and `HTTPEdge`; each request is answered at once. However they are cut
// into pieces, the same requests come out: what one reader takes for the end of a request, no other may take for something else.

#if DEBUG || MARTLET_FUZZ
  import HTTPTypes
  import MartletCore
  import NIOCore
  import NIOEmbedded
  import NIOHTTP1
  import NIOHTTPTypes

  @testable import MartletHTTP

  enum HTTPTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      let whole = try exchange(bytes, pieces: bytes.count + 1)
      let small = try exchange(bytes, pieces: 1)
      let uneven = try exchange(bytes, pieces: 7)
      for other in [small, uneven] {
        try require(other.requests == whole.requests, "in pieces they are other requests")
        try require(settled(other.answers) == settled(whole.answers), "in pieces there are other answers")
      }
    }

    /// A head that is malformed and too large is refused for what is seen first, and that depends on the pieces.
    private static func settled(_ answers: [UInt8]) -> [UInt8] {
      for refusal in ["HTTP/1.1 400", "HTTP/1.1 431"] {
        guard let place = answers.indices.last(where: { answers[$0...].starts(with: refusal.utf8) }) else { continue }
        return answers[..<place] + Array("refused".utf8)
      }
      return answers
    }

    private struct Read: Equatable {
      var method: String
      var path: String
      var host: String?
      var fields: [String]
      /// Of a request that is cut short, what comes through depends on the pieces.
      var body: [UInt8] = []
      var isWhole = false

      static func == (left: Read, right: Read) -> Bool {
        left.method == right.method && left.path == right.path && left.host == right.host && left.fields == right.fields
          && left.isWhole == right.isWhole && (!left.isWhole || left.body == right.body)
      }
    }

    private struct Exchange {
      var requests: [Read] = []
      var answers: [UInt8] = []
    }

    private static func exchange(_ bytes: [UInt8], pieces: Int) throws(Finding) -> Exchange {
      let channel = EmbeddedChannel()
      var exchange = Exchange()
      do {
        try open(channel)
        var rest = bytes[...]
        while !rest.isEmpty, channel.isActive {
          do { try channel.writeInbound(ByteBuffer(bytes: rest.prefix(pieces))) } catch is RequestCutShort {}
          rest = rest.dropFirst(pieces)
          try take(channel, &exchange)
        }
        // The client goes away; what the server still waits for does not come. (`finish` would wait for a close that waits for time.)
        channel.close(promise: nil)
        channel.embeddedEventLoop.advanceTime(by: .minutes(10))
        try require(!channel.isActive, "a connection stays open")
        try take(channel, &exchange)
      } catch let finding as Finding {
        throw finding
      } catch {
        throw Finding("the connection throws: \(error)")
      }
      try isHTTP(exchange.answers)
      return exchange
    }

    private static func open(_ channel: EmbeddedChannel) throws {
      let limits = ConnectionLimits(
        bodyBytes: 512, bodyTime: .seconds(30), idleTime: .seconds(60), lingerTime: .seconds(5),
        handshakeTime: .seconds(10), headerFieldBytes: 256, headerBytes: 1024, headerFields: 16)
      var decoder = NIOHTTPDecoderLimitConfiguration()
      decoder.maxHeaderFieldSize = limits.headerFieldBytes
      decoder.maxHeaderListSize = limits.headerBytes
      decoder.maxHeaderFieldCount = limits.headerFields
      let pipeline = channel.pipeline.syncOperations
      try pipeline.configureHTTPServerPipeline(
        withPipeliningAssistance: false, withErrorHandling: false, withOutboundHeaderValidation: false,
        withEncoderConfiguration: .init(), withDecoderLimitConfiguration: decoder)
      try pipeline.addHandler(
        HTTPEdge(limits: limits) { problem in
          let body = problem.document(requestID: "1")
          return (
            HTTPResponse(
              status: .init(code: problem.code.status), headerFields: [.contentLength: String(body.count)]), body
          )
        })
      try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    /// What has come; whole requests are answered.
    private static func take(_ channel: EmbeddedChannel, _ exchange: inout Exchange) throws {
      while let part = try channel.readInbound(as: HTTPRequestPart.self) {
        switch part {
        case .head(let head):
          try require(exchange.requests.last?.isWhole ?? true, "a request begins within another")
          exchange.requests.append(
            Read(
              method: head.method.rawValue, path: head.path ?? "", host: head.authority,
              fields: head.headerFields.map { "\($0.name): \($0.value)" }))
        case .body(let buffer):
          try require(exchange.requests.last?.isWhole == false, "a body without a request")
          exchange.requests[exchange.requests.count - 1].body += Array(buffer.readableBytesView)
          try require(exchange.requests[exchange.requests.count - 1].body.count <= 512, "a body over its limit")
        case .end:
          try require(exchange.requests.last?.isWhole == false, "the end of no request")
          exchange.requests[exchange.requests.count - 1].isWhole = true
          guard channel.isActive else { continue }
          channel.write(
            HTTPResponsePart.head(HTTPResponse(status: .ok, headerFields: [.contentLength: "2"])), promise: nil)
          channel.write(HTTPResponsePart.body(ByteBuffer(string: "ok")), promise: nil)
          channel.writeAndFlush(HTTPResponsePart.end(nil), promise: nil)
        }
      }
      while let bytes = try channel.readOutbound(as: ByteBuffer.self) {
        exchange.answers += Array(bytes.readableBytesView)
      }
    }

    /// Answers one behind the other, and at most one of them a refusal of something that never was a request.
    private static func isHTTP(_ answers: [UInt8]) throws(Finding) {
      try require(answers.isEmpty || answers.starts(with: "HTTP/1.".utf8), "an answer is not HTTP")
    }
  }
#endif
