// The HTTP face as one service: binds, serves, drains. The composition root makes one and runs it in its
// `ServiceGroup`.

internal import HummingbirdCore
package import Logging
package import MartletCore
package import MartletEngine
package import Metrics
package import NIOCore
internal import NIOPosix
internal import ServiceLifecycle

package struct HTTPConfiguration: Sendable {
  /// What a listener is there for.
  package enum Purpose: Sendable, Hashable {
    /// The whole API.
    case api
    /// Health, version and metrics alone.
    case watching
  }

  package var purpose = Purpose.api
  package var host: String
  /// 0 takes any free one; `onListening` tells which.
  package var port: Int
  package var maxBodyBytes: Int
  /// True while there is no authentication: only requests to loopback names, and none from web pages elsewhere, are
  /// answered.
  package var requiresLoopbackHost: Bool
  /// Nil: everybody may do everything.
  package var auth: AuthConfiguration?
  /// Nil: without encryption.
  package var tls: TLSFiles?
  package var version: String
  /// From a request's head to the end of its body.
  package var bodyDeadline: Duration
  /// How long a connection may be silent between requests, or take to send a request's head.
  package var idleTimeout: Duration
  /// How long the rest of a refused request is read and thrown away, so that its client can read the answer.
  package var lingerTime: Duration
  /// For a client and the server to agree on keys.
  package var handshakeTime: Duration
  /// Further ones wait in the system's backlog until one ends.
  package var mostConnections = ConnectionLimits.mostConnections

  package init(
    host: String = "127.0.0.1", port: Int = 8080, maxBodyBytes: Int = 8 * 1024 * 1024,
    requiresLoopbackHost: Bool = true, auth: AuthConfiguration? = nil, tls: TLSFiles? = nil, version: String,
    bodyDeadline: Duration = .seconds(30), idleTimeout: Duration = .seconds(60), lingerTime: Duration = .seconds(5),
    handshakeTime: Duration = .seconds(10)
  ) {
    self.host = host
    self.port = port
    self.maxBodyBytes = maxBodyBytes
    self.requiresLoopbackHost = requiresLoopbackHost
    self.auth = auth
    self.tls = tls
    self.version = version
    self.bodyDeadline = bodyDeadline
    self.idleTimeout = idleTimeout
    self.lingerTime = lingerTime
    self.handshakeTime = handshakeTime
  }
}

package struct HTTPServer: Service {
  private let configuration: HTTPConfiguration
  private let gate: Gate?
  private let tls: TLSKeeper?
  private let responder: Responder
  private let eventLoopGroup: any EventLoopGroup
  private let logger: Logger
  private let onListening: @Sendable (_ host: String, _ port: Int) async -> Void

  /// - Parameters:
  ///   - apiKeys: where keys are kept, whether or not `configuration.auth` takes them
  ///   - buckets: what all nodes count requests by
  ///   - metrics: the text of `GET /metrics`
  ///   - onListening: called once the port takes connections
  ///   - metricsFactory: where requests are counted
  ///   - spans: nil where nothing is traced
  package init(
    configuration: HTTPConfiguration, tasks: TaskService, leases: LeaseService, schedules: ScheduleService,
    apiKeys: any APIKeyBook, buckets: (any SharedBuckets)? = nil,
    metrics: @escaping @Sendable () async throws -> String, logger: Logger,
    metricsFactory: any MetricsFactory = MetricsSystem.factory,
    eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, clock: any EngineClock = SystemClock(),
    wallClock: @escaping @Sendable () -> Timestamp = WallClock.now, random: RandomSource = .system,
    spans: SpanSource? = nil,
    onListening: @escaping @Sendable (_ host: String, _ port: Int) async -> Void
  ) {
    self.configuration = configuration
    self.eventLoopGroup = eventLoopGroup
    self.logger = logger
    self.onListening = onListening
    let trouble = TroubleLog(logger: logger, clock: clock)
    gate = configuration.auth.map {
      Gate($0, book: apiKeys, shared: buckets, clock: clock, wallClock: wallClock, trouble: trouble, logger: logger)
    }
    tls = configuration.tls.map { TLSKeeper($0, clock: clock, wallClock: wallClock, logger: logger) }
    responder = Responder(
      api: API(
        tasks: tasks, leases: leases, schedules: schedules,
        keys: APIKeyOffice(apiKeys, random: random, wallClock: wallClock),
        renderMetrics: metrics, versionText: configuration.version, trouble: trouble,
        isGuarded: configuration.auth != nil),
      gate: gate, configuration: configuration, metrics: HTTPMetrics(factory: metricsFactory), clock: clock,
      random: random, spans: spans, logger: logger)
  }

  /// Counts the requests of each credential by this from now on; nil counts none.
  package func limitRequests(_ limit: RateLimit?) {
    gate?.limitRequests(limit)
  }

  /// Serves until it is told to stop; then takes no new connection, answers long polls at once and finishes the
  /// requests that have begun.
  /// - Throws: `ListenFailure` when the address cannot be had, `AuthFailure` when the authentication is not as it should be,
  ///   `TLSFault` when the certificate or its key cannot be used.
  package func run() async throws {
    try await gate?.prepare()
    try tls?.prepare()
    guard (0...65_535).contains(configuration.port) else {
      throw ListenFailure(configuration, reason: "a port is a number from 0 to 65535")
    }
    let responder = responder
    let channel = HTTPChannel(
      limits: ConnectionLimits(
        bodyBytes: configuration.maxBodyBytes, bodyTime: TimeAmount(configuration.bodyDeadline),
        idleTime: TimeAmount(configuration.idleTimeout), lingerTime: TimeAmount(configuration.lingerTime),
        handshakeTime: TimeAmount(configuration.handshakeTime)),
      tls: tls,
      responder: { request, writer, channel in
        try await responder.respond(to: request, on: ClientConnection(channel), writer: writer)
      },
      refuse: { responder.refusal($0) })
    // Hummingbird reports its own start at `info`; to tell people of it is the composition root's part.
    var serverLogger = logger
    serverLogger.logLevel = max(logger.logLevel, .warning)
    let server = Server(
      childChannelSetup: channel,
      configuration: ServerConfiguration(
        address: .hostname(configuration.host, port: configuration.port),
        availableConnectionsDelegate: .maximum(configuration.mostConnections, logger: serverLogger)),
      onServerRunning: { [configuration, onListening] channel in
        let address = channel.localAddress
        await onListening(address?.ipAddress ?? configuration.host, address?.port ?? configuration.port)
      },
      eventLoopGroup: eventLoopGroup, logger: serverLogger)
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { [gate] in await gate?.run() }
        group.addTask { [tls] in await tls?.run() }
        // It ends by a graceful shutdown alone; when another listener of the node could not begin, nobody asks for one.
        group.addTask {
          await Alarm().wait()
          try await server.shutdownGracefully()
        }
        try await withGracefulShutdownHandler {
          try await server.run()
        } onGracefulShutdown: {
          responder.drain()
        }
        group.cancelAll()
      }
    } catch {
      // Once it listens, Hummingbird's server throws no more.
      throw ListenFailure(configuration, reason: ListenFailure.reason(error))
    }
  }
}

/// The server could not begin; one line for people.
package struct ListenFailure: Error, CustomStringConvertible {
  package let description: String

  fileprivate init(_ configuration: HTTPConfiguration, reason: String) {
    let host = configuration.host.contains(":") ? "[\(configuration.host)]" : configuration.host
    description = "cannot listen on \(host):\(configuration.port): \(reason)"
  }

  fileprivate static func reason(_ error: any Error) -> String {
    switch error {
    case let error as IOError:
      switch error.errnoCode {
      case EADDRINUSE: "address already in use"
      case EADDRNOTAVAIL: "the address is not one of this machine's"
      case EACCES: "permission denied"
      default: String(cString: strerror(error.errnoCode)).lowercased()
      }
    case is SocketAddressError, is SocketAddressError.UnknownHost: "the host name is not known"
    default: String(describing: error)
    }
  }
}
