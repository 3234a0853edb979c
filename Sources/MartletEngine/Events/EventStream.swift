// Those who listen to the event stream on this node. One reader follows the end of the stream for all of them and keeps what it has
// read last; a listener takes from there at its own pace. One that is behind that reads pages of its own, so a slow client costs
// the others nothing and no memory but its own page.

internal import Logging
package import MartletCore
internal import Synchronization

/// What a listener wants to hear; an empty set wants all.
package struct StreamFilter: Sendable {
  package var task: TaskID?
  package var eventTypes: Set<TaskEventType> = []
  package var taskTypes: Set<String> = []
  package var queues: Set<String> = []

  package init() {}

  func wants(_ event: StreamedEvent) -> Bool {
    (task ?? event.task) == event.task && (eventTypes.isEmpty || eventTypes.contains(event.type))
      && (taskTypes.isEmpty || taskTypes.contains(event.lane.type))
      && (queues.isEmpty || queues.contains(event.lane.queue))
  }
}

package enum StreamRefusal: Error, Sendable {
  /// The position was given away and is not kept any more, or was never given.
  case gone(position: Int64, first: Int64, last: Int64)
  /// As many listen already as may.
  case full(limit: Int)
  case store(StoreError)
}

package final class EventStream: Sendable {
  private let parts: EngineParts
  /// Rings the reader.
  private let alarm = Alarm()
  private let state = Mutex(State())
  /// For listeners that are behind: those at one place share its page.
  private let pages: Coalescer<Int64, StreamPage>

  private struct State {
    /// How far the reader has come; nil while nobody listens.
    var head: Int64?
    /// What it has read last, without a gap up to the head.
    var window: [StreamedEvent] = []
    var windowBytes = 0
    var listeners: [Int: Alarm] = [:]
    var seats: [String: Int] = [:]
    var nextNumber = 0
    /// Raised when the positions have begun anew, as from a backup: those of before mean nothing.
    var generation = 0
    var isClosed = false
  }

  package static let mostListeners = 1000
  package static let mostOfOneCaller = 100
  private static let pageSize = 500
  private static let windowEvents = 4000
  private static let windowBytes = 8 * 1024 * 1024
  /// How long after the last look what other nodes have written is found. This node's relay rings.
  private static let rest = Duration.milliseconds(250)

  init(_ parts: EngineParts) {
    self.parts = parts
    pages = Coalescer(largestBatch: 8, lanes: 2) { (positions) throws(StoreError) in
      var pages: [Int64: StreamPage] = [:]
      for position in Set(positions) {
        pages[position] = try await Self.page(after: position, limit: Self.pageSize / 2, parts)
      }
      return positions.map { pages[$0] ?? StreamPage(events: [], first: 1, last: 0) }
    }
  }

  // MARK: Listening

  /// - Parameter position: what the listener has heard last; 0 begins with the oldest event that is kept, nil with the next that comes.
  package func listen(
    for filter: StreamFilter, after position: Int64?, as caller: Credential = .unguarded
  ) async throws(StreamRefusal) -> StreamListener {
    let seat = try takeSeat(caller)
    let page: StreamPage
    do throws(StoreError) {
      page = try await Self.page(after: position ?? 0, limit: 0, parts)
    } catch {
      throw .store(error)
    }
    if let position, position > page.last || position > 0 && position + 1 < page.first {
      throw .gone(position: position, first: page.first, last: page.last)
    }
    let start = position.map { $0 == 0 ? page.first - 1 : $0 } ?? page.last
    alarm.ring()
    return StreamListener(self, seat, after: start, filter, caller)
  }

  private func takeSeat(_ caller: Credential) throws(StreamRefusal) -> StreamSeat {
    let name = caller.keyID ?? caller.actor
    // Where there is no authentication all callers are one.
    let most = caller == .unguarded ? Self.mostListeners : Self.mostOfOneCaller
    let result = state.withLock { state -> Result<StreamSeat, StreamRefusal> in
      guard state.listeners.count < Self.mostListeners else { return .failure(.full(limit: Self.mostListeners)) }
      guard state.seats[name, default: 0] < most else { return .failure(.full(limit: most)) }
      state.nextNumber += 1
      state.seats[name, default: 0] += 1
      let alarm = Alarm()
      state.listeners[state.nextNumber] = alarm
      return .success(
        StreamSeat(number: state.nextNumber, name: name, generation: state.generation, alarm: alarm) { [weak self] in
          self?.leave($0, $1)
        })
    }
    return try result.get()
  }

  private func leave(_ number: Int, _ name: String) {
    state.withLock { state in
      state.listeners[number] = nil
      let left = state.seats[name, default: 1] - 1
      state.seats[name] = left > 0 ? left : nil
    }
  }

  /// How many listen.
  package var listeners: Int { state.withLock(\.listeners.count) }

  /// Sends everybody away: the node is shutting down.
  func close() {
    let alarms = state.withLock { state in
      state.isClosed = true
      return Array(state.listeners.values)
    }
    for alarm in alarms { alarm.ring() }
  }

  /// What a listener finds at its place.
  fileprivate enum Look {
    case events(ArraySlice<StreamedEvent>)
    /// It has heard all there is.
    case nothing
    /// What comes next was read too long ago.
    case behind
    case closed
    case gone
  }

  fileprivate func look(after position: Int64, _ generation: Int) -> Look {
    state.withLock { state in
      if state.isClosed { return .closed }
      guard state.generation == generation else { return .gone }
      guard let head = state.head, position < head else { return .nothing }
      guard let first = state.window.first?.position, position + 1 >= first else { return .behind }
      let start = Int(position + 1 - first)
      return .events(state.window[start..<min(state.window.count, start + Self.pageSize)])
    }
  }

  fileprivate func page(after position: Int64) async throws(StoreError) -> StreamPage {
    try await pages([position]).first ?? StreamPage(events: [], first: 1, last: 0)
  }

  fileprivate var clock: any EngineClock { parts.clock }

  // MARK: Reading

  /// There may be something new.
  func ring() {
    alarm.ring()
  }

  /// Reads for all who listen, until its task is cancelled.
  func run() async {
    var backoff = Backoff(random: parts.random)
    while !Task.isCancelled {
      guard let head = place() else {
        await alarm.wait()
        continue
      }
      var rest = Duration.zero
      do throws(StoreError) {
        let page = try await Self.page(after: head ?? 0, limit: head == nil ? 0 : Self.pageSize, parts)
        for alarm in take(page) { alarm.ring() }
        if head != nil, page.events.count < Self.pageSize { rest = Self.rest }
        if backoff.succeeded() { parts.logger.info("works again", metadata: ["duty": "stream-reader"]) }
      } catch {
        if backoff.isFirst { parts.logger.error("\(error.message)", metadata: ["duty": "stream-reader"]) }
        rest = backoff.failed()
      }
      if rest > .zero { await alarm.wait(until: parts.clock.now + rest, on: parts.clock) }
    }
  }

  /// Nil while nobody listens; the head, which is not known at first.
  private func place() -> Int64?? {
    state.withLock { state in
      if state.listeners.isEmpty {
        state.head = nil
        state.window = []
        state.windowBytes = 0
        return nil
      }
      return .some(state.head)
    }
  }

  /// - Returns: whom to ring.
  private func take(_ page: StreamPage) -> [Alarm] {
    state.withLock { state in
      guard let head = state.head else {
        state.head = page.last
        return Array(state.listeners.values)
      }
      if page.last < head {
        state.generation += 1
        state.head = page.last
        state.window = []
        state.windowBytes = 0
        return Array(state.listeners.values)
      }
      guard let first = page.events.first, let last = page.events.last else { return [] }
      if first.position != head + 1 {
        // What lay between is not kept any more: who has not heard it has to be told so.
        state.window = []
        state.windowBytes = 0
      }
      state.window += page.events
      state.windowBytes += page.events.reduce(0) { $0 + $1.json.count }
      state.head = last.position
      Self.trim(&state)
      return Array(state.listeners.values)
    }
  }

  private static func trim(_ state: inout State) {
    var dropped = max(0, state.window.count - windowEvents)
    var bytes = state.windowBytes - state.window.prefix(dropped).reduce(0) { $0 + $1.json.count }
    while bytes > windowBytes, dropped < state.window.count {
      bytes -= state.window[dropped].json.count
      dropped += 1
    }
    state.window.removeFirst(dropped)
    state.windowBytes = bytes
  }

  private static func page(
    after position: Int64, limit: Int, _ parts: EngineParts
  ) async throws(StoreError) -> StreamPage {
    try await parts.timed("read-stream") { () throws(StoreError) in
      try await parts.store.streamPage(after: position, limit: limit)
    }
  }
}

/// Counts as one listener for as long as it is kept.
private final class StreamSeat: Sendable {
  let number: Int
  let name: String
  let generation: Int
  let alarm: Alarm
  private let onLeave: @Sendable (Int, String) -> Void

  init(
    number: Int, name: String, generation: Int, alarm: Alarm, onLeave: @escaping @Sendable (Int, String) -> Void
  ) {
    self.number = number
    self.name = name
    self.generation = generation
    self.alarm = alarm
    self.onLeave = onLeave
  }

  deinit {
    onLeave(number, name)
  }
}

/// One who listens, at a place in the stream. Gives its seat back when nobody has it any more.
package actor StreamListener {
  package enum Step: Sendable {
    /// In order, without those that it does not want.
    case events([StreamedEvent])
    /// There was nothing for it until the time was over.
    case quiet
    /// The node is shutting down, the caller's task was cancelled, or what comes next is not kept any more.
    case ended
  }

  private let stream: EventStream
  private let seat: StreamSeat
  private let filter: StreamFilter
  private let caller: Credential
  /// Everything up to here was heard, or was not wanted.
  package private(set) var position: Int64

  fileprivate init(
    _ stream: EventStream, _ seat: StreamSeat, after position: Int64, _ filter: StreamFilter, _ caller: Credential
  ) {
    self.stream = stream
    self.seat = seat
    self.position = position
    self.filter = filter
    self.caller = caller
  }

  /// What comes next, as soon as it is there. One call at a time.
  package func next(within patience: Duration) async -> Step {
    let deadline = stream.clock.now + patience
    while !Task.isCancelled {
      switch stream.look(after: position, seat.generation) {
      case .events(let events):
        if let step = take(events) { return step }
      case .behind:
        do throws(StoreError) {
          let page = try await stream.page(after: position)
          guard position + 1 >= page.first, position <= page.last else { return .ended }
          if let step = take(page.events[...]) { return step }
          if page.events.isEmpty { await rest(until: deadline) }
        } catch {
          await rest(until: deadline)  // the reader tells of the trouble
        }
      case .nothing:
        guard stream.clock.now < deadline else { return .quiet }
        await seat.alarm.wait(until: deadline, on: stream.clock)
      case .closed, .gone:
        return .ended
      }
      if stream.clock.now >= deadline { return .quiet }
    }
    return .ended
  }

  /// Waits so long; false, at once, where the caller's task is cancelled.
  @discardableResult
  package func pause(_ duration: Duration) async -> Bool {
    do {
      try await stream.clock.sleep(for: duration)
      return true
    } catch {
      return false
    }
  }

  private func take(_ events: ArraySlice<StreamedEvent>) -> Step? {
    guard let last = events.last else { return nil }
    // Without a gap, or what lies in it would never be heard.
    guard events.first?.position == position + 1 else { return .ended }
    position = last.position
    let wanted = events.filter { filter.wants($0) && caller.mayUse(queue: $0.lane.queue) }
    return wanted.isEmpty ? nil : .events(wanted)
  }

  private func rest(until deadline: MonotonicTime) async {
    await pause(min(.seconds(1), max(.milliseconds(10), deadline - stream.clock.now)))
  }
}
