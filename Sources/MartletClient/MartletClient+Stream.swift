// The event stream: events as they happen, over as many connections as that takes.

internal import AsyncHTTPClient
internal import MartletCore
internal import NIOCore

extension MartletClient {
  /// What happens, as it happens. A connection that breaks is made anew, and goes on behind the last event that was heard; the server
  /// may be away for as long as `Options.retries` says. Ends only with an error, or when the iterating Swift task is cancelled.
  /// - Parameter position: Goes on behind the event at this position; 0 begins with the oldest event that the server keeps. Nil
  ///   begins with the next.
  /// - Throws: While iterated over: `problem` with status 409 where the server keeps no stream (`events.streamSeconds`), 410 where what
  ///   follows the position is not kept any more.
  public func events(_ filter: EventFilter = EventFilter(), after position: Int64? = nil) -> LiveEventSequence {
    LiveEventSequence(client: self, filter: filter, position: position)
  }
}

/// Events of a server's stream, in order.
public struct LiveEventSequence: AsyncSequence, Sendable {
  public typealias Element = LiveEvent

  let client: MartletClient
  let filter: EventFilter
  let position: Int64?
  /// Told when a connection is there, and when it has gone.
  package var onConnected: @Sendable (Bool) -> Void = { _ in }

  init(client: MartletClient, filter: EventFilter, position: Int64?) {
    self.client = client
    self.filter = filter
    self.position = position
  }

  public func makeAsyncIterator() -> Iterator { Iterator(self) }

  /// One event after another.
  public struct Iterator: AsyncIteratorProtocol {
    private let events: LiveEventSequence
    private var body: StreamBody?
    private var reading = ServerSentEvents()
    private var waiting: [LiveEvent] = []
    private var lastID: String?
    private var budget: RetryBudget

    init(_ events: LiveEventSequence) {
      self.events = events
      lastID = events.position.map { String($0) }
      budget = RetryBudget(events.client.options.retries)
    }

    public mutating func next() async throws -> LiveEvent? {
      while waiting.isEmpty {
        do throws(ExchangeFailure) {
          try await read()
        } catch {
          events.onConnected(false)
          body = nil
          // What it has told so far counts, even an event that came in half does not.
          lastID = reading.lastID ?? lastID
          guard let pause = budget.pause(after: error, repeatable: true) else {
            throw error.told(server: events.client.server)
          }
          try await events.client.clock.pause(pause)
        }
      }
      return waiting.removeFirst()
    }

    private mutating func read() async throws(ExchangeFailure) {
      let most = events.client.options.maxAnswerBytes
      if body == nil {
        reading = ServerSentEvents()
        body = try await events.client.stream(.events(events.filter, after: lastID))
        events.onConnected(true)
      }
      let piece: ByteBuffer?
      do {
        piece = try await body?.next()
      } catch {
        throw ExchangeFailure(error, maxAnswerBytes: most).asBroken
      }
      guard let piece else { throw .broken("the connection was closed") }
      // Whoever tells something is there.
      budget = RetryBudget(events.client.options.retries)
      for (id, data) in reading.take(piece.readableBytesView) {
        guard let position = id.flatMap({ Int64($0) }) else { throw .unexpected("an event has no position") }
        do throws(MartletClientError) {
          waiting.append(try LiveEvent(position: position, json: data, server: events.client.server))
        } catch {
          throw .unexpected("an event cannot be read")
        }
      }
      lastID = waiting.last.map { String($0.position) } ?? lastID
      guard reading.held <= most else { throw .unexpected("an event is longer than \(most) bytes") }
    }
  }
}

/// What is left of an answer. One reads it at a time, hence unchecked.
final class StreamBody: @unchecked Sendable {
  private var pieces: HTTPClientResponse.Body.AsyncIterator

  init(_ body: HTTPClientResponse.Body) {
    pieces = body.makeAsyncIterator()
  }

  func next() async throws -> ByteBuffer? { try await pieces.next() }
}

extension ExchangeFailure {
  /// Silence within a stream is a connection that has gone without a word: it is made anew.
  fileprivate var asBroken: ExchangeFailure {
    if case .timedOut(let reason) = self { .broken(reason) } else { self }
  }
}

extension Call {
  fileprivate static func events(_ filter: EventFilter, after id: String?) -> Call {
    var call = Call(method: .get, path: "/events/stream")
    if let task = filter.taskID { call.query.append(("taskId", task.description)) }
    if !filter.types.isEmpty { call.query.append(("type", filter.types.sorted().joined(separator: ","))) }
    if !filter.queues.isEmpty { call.query.append(("queue", filter.queues.sorted().joined(separator: ","))) }
    call.lastEventID = id
    return call
  }
}
