// Work from a server far away: the engine's `Worker` runs over it as it runs over a store. How calls fail and are tried again is
// the worker's business; here they are only sent, cut to what the protocol takes, and judged.

package import Logging
package import MartletCore
package import MartletEngine
internal import Synchronization

package final class RemoteWorkSource: WorkSource {
  private let client: MartletClient
  /// For renewals, which are sent again as the lease allows and not as the server asks.
  private let renewer: MartletClient
  private let clock: any EngineClock
  private let logger: Logger
  private let onRefusal: @Sendable (MartletClientError) -> Void
  private let draining = Alarm()
  private let state = Mutex(State())

  private struct State {
    var isDraining = false
    var hasWorked = false
  }

  /// Leases in one call.
  private static let mostLeases = 1000
  /// Of reports in one call: small enough for a server with a lower limit than usual, large enough not to matter.
  private static let mostBytes = 1024 * 1024
  /// A renewal without an answer is sent again while there is time.
  private static let renewalPatience = Duration.seconds(5)
  /// How long an answer that is on its way is waited for when the worker drains.
  private static let drainPatience = Duration.seconds(1)

  /// - Parameter onRefusal: told of every answer that will be the same the next time: a credential that does not do, a
  ///   server that knows no leases.
  package init(
    _ client: MartletClient, clock: any EngineClock, logger: Logger,
    onRefusal: @escaping @Sendable (MartletClientError) -> Void
  ) {
    var client = client
    client.options.retries.whileUnreachable = min(client.options.retries.whileUnreachable, .seconds(1))
    self.client = client
    client.options.retries.whenAsked = .zero
    renewer = client
    self.clock = clock
    self.logger = logger
    self.onRefusal = onRefusal
  }

  /// No more work is wanted: a call for it that is under way ends soon.
  package func drain() {
    state.withLock { $0.isDraining = true }
    draining.ring()
  }

  // MARK: Claim

  package func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    var answers: [[ClaimedTask]] = []
    for request in requests { answers.append(try await claim(request)) }
    return answers
  }

  private func claim(_ request: ClaimRequest) async throws(StoreError) -> [ClaimedTask] {
    typealias End = Result<[ClaimedTask], StoreError>
    let result = await withTaskGroup(of: End?.self) { group in
      group.addTask { await self.ask(request) }
      group.addTask {
        await self.drained()
        return nil
      }
      let first = await group.next() ?? nil
      group.cancelAll()
      let second = await group.next() ?? nil
      // Broken off by the drain is no failure; work that came in the last moment is to be given back.
      if first == nil, case .failure? = second { return End.success([]) }
      return first ?? second ?? End.success([])
    }
    return try result.get()
  }

  /// Returns some time after draining began, or when cancelled.
  private func drained() async {
    while !state.withLock(\.isDraining), !Task.isCancelled { await draining.wait() }
    try? await clock.sleep(for: Self.drainPatience)  // cancelled: the answer is there
  }

  private func ask(_ request: ClaimRequest) async -> Result<[ClaimedTask], StoreError> {
    var request = request
    let over = max(0, request.limit - Self.mostLeases)
    request.limit -= over
    request.ahead = max(0, request.ahead - over)
    let call = Call.lease(request)
    let askedAt = clock.now
    do throws(CallFailure) {
      let tasks = try await exchange(call, by: client) { (answer) throws(MartletClientError) in
        let reader = try Reading.object(answer)
        let held = try reader.duration("heldSeconds") ?? .zero
        return try reader.objects("leases") { (lease) throws(MartletClientError) in
          try ClaimedTask(lease, held: held)
        }
      }
      // Something in between that does not hold requests must not be asked as fast as it can answer.
      if tasks.isEmpty, request.patience >= .seconds(1), clock.now - askedAt < .milliseconds(500) {
        try? await clock.sleep(for: .seconds(1))  // cancelled: nobody wants more
      }
      return .success(tasks)
    } catch {
      return .failure(told(error))
    }
  }

  // MARK: Renew

  package func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    try await inParts(renewals, bytes: \.wireBytes) { (part) throws(StoreError) in try await prolong(part) }
  }

  private func prolong(_ renewals: ArraySlice<Renewal>) async throws(StoreError) -> [RenewalVerdict] {
    var call = Call.renew(renewals)
    call.patience = Self.renewalPatience
    do throws(CallFailure) {
      return try await data(call, by: renewer, count: renewals.count, RenewalVerdict.init)
    } catch {
      guard case .refused(let problem) = error.reason, problem.status == 413,
        renewals.contains(where: { !$0.logs.isEmpty })
      else { throw told(error) }
      // The server takes smaller bodies than usual. The lease matters more than what the handler says.
      return try await prolong(renewals.map { Renewal(lease: $0.lease, progress: $0.progress) }[...])
    }
  }

  // MARK: Finish

  package func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    try await inParts(finishes, bytes: \.wireBytes) { (part) throws(StoreError) in try await report(part) }
  }

  /// As many at once as a body may hold.
  private func inParts<Item, Verdict>(
    _ items: [Item], bytes: (Item) -> Int, _ call: (ArraySlice<Item>) async throws(StoreError) -> [Verdict]
  ) async throws(StoreError) -> [Verdict] {
    var verdicts: [Verdict] = []
    var rest = items[...]
    while !rest.isEmpty {
      var sum = 0
      let count = rest.prefix(Self.mostLeases).prefix { item in
        defer { sum += bytes(item) }
        return sum == 0 || sum + bytes(item) <= Self.mostBytes
      }.count
      verdicts += try await call(rest.prefix(count))
      rest = rest.dropFirst(count)
    }
    return verdicts
  }

  private func report(_ finishes: ArraySlice<Finish>) async throws(StoreError) -> [FinishVerdict] {
    let answers: [ReportAnswer]
    do throws(CallFailure) {
      answers = try await data(.finish(finishes), by: client, count: finishes.count, ReportAnswer.init)
    } catch {
      guard case .refused(let problem) = error.reason, problem.status == 413 else { throw told(error) }
      return try await reportLess(finishes, told(error))
    }
    return zip(finishes, answers).map { finish, answer in
      switch answer {
      case .told(let verdict): return verdict
      case .refused(let reason):
        logger.error(
          "the server refuses a report: \(reason)", metadata: ["task_id": "\(finish.lease.task)"])
        return .lost
      }
    }
  }

  /// The server takes smaller bodies than usual. The work is done, so it is told in any case: if need be without what it gave.
  private func reportLess(
    _ finishes: ArraySlice<Finish>, _ error: StoreError
  ) async throws(StoreError) -> [FinishVerdict] {
    if finishes.count > 1 {
      let half = finishes.startIndex + finishes.count / 2
      return try await report(finishes[..<half]) + report(finishes[half...])
    }
    guard let finish = finishes.first, finish.wireBytes > 1000 else { throw error }
    var bare = finish
    bare.logs = ["the report was too large for the server: the result and the log lines were left out"]
    switch finish.outcome {
    case .success: bare.outcome = .success(result: nil)
    case .failed(let reason, let advice):
      let message = String(reason.message.prefix(200))
      bare.outcome = .failed(TaskError(type: String(reason.type.prefix(64)), message: message), advice)
    default: break
    }
    guard bare.wireBytes < finish.wireBytes else { throw error }
    return try await report([bare])
  }

  // MARK: Calls

  /// As many elements as were asked about.
  private func data<Element>(
    _ call: Call, by client: MartletClient, count: Int, _ make: (ObjectReader) throws(MartletClientError) -> Element
  ) async throws(CallFailure) -> [Element] {
    try await exchange(call, by: client) { (answer) throws(MartletClientError) in
      let elements = try Reading.data(answer, make)
      guard elements.count == count else {
        throw .unexpectedAnswer(server: answer.server, reason: "'data' has \(elements.count) elements for \(count)")
      }
      return elements
    }
  }

  private func exchange<Value>(
    _ call: Call, by client: MartletClient, _ read: (Answer) throws(MartletClientError) -> Value
  ) async throws(CallFailure) -> Value {
    do {
      let value = try read(await client.answer(to: call))
      state.withLock { $0.hasWorked = true }
      return value
    } catch {
      throw CallFailure(error)
    }
  }

  private struct CallFailure: Error {
    enum Reason {
      case cancelled
      case refused(Problem)
      case other(MartletClientError)
    }
    let reason: Reason

    init(_ error: any Error) {
      switch error as? MartletClientError {
      case .problem(let problem): reason = .refused(problem)
      case let error?: reason = .other(error)
      case nil: reason = .cancelled
      }
    }
  }

  /// The failure in the words of the engine; one that will not pass is told to whoever runs the worker.
  private func told(_ failure: CallFailure) -> StoreError {
    switch failure.reason {
    case .cancelled: return .unavailable("cancelled")
    case .refused(let problem):
      var error = MartletClientError.problem(problem)
      if problem.status == 404 {
        error = .unexpectedAnswer(server: client.server, reason: "it has no leases; is it older than this program?")
      }
      if (400..<500).contains(problem.status), ![408, 413, 429].contains(problem.status) { onRefusal(error) }
      return .unavailable(error.description)
    case .other(let error):
      switch error {
      case .unexpectedAnswer where !state.withLock(\.hasWorked), .invalidRequest: onRefusal(error)
      default: break
      }
      return .unavailable(error.description)
    }
  }
}
