// Reports of ended attempts over a store that takes several calls at once: each is told once, none is left behind, and no more
// wait than there is room for.

import Logging
import MartletCore
import MartletTestKit
import Synchronization
import Testing

@testable import MartletEngine

@Suite struct ReporterTests {
  @Test(arguments: [1, 4], 1...5)
  func `each report is told once, also when calls fail before and after their commit`(lanes: Int, seed: Int) throws {
    try simulate(seed: UInt64(seed)) { scheduler in
      let desk = Desk(scheduler, failsBefore: 0.3, losesAnswer: 0.3)
      try await desk.report(500, lanes: lanes)
      #expect(desk.told.count == 500)
      #expect(Set(desk.told).count == 500, "none twice")
      #expect(desk.mostCalls == lanes)
    }
  }

  @Test func `a report that stands still does not hold up those that come after it`() throws {
    try simulate(seed: 1) { scheduler in
      let desk = Desk(scheduler)
      desk.hold(0)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await desk.report(100, lanes: 2) }
        try await desk.clock.sleep(for: .seconds(1))
        #expect(desk.told.count == 99)
        desk.hold(nil)
        try await group.waitForAll()
      }
      #expect(desk.told.count == 100, "closing waits for the last")
    }
  }

  @Test func `no more wait than there is room for, those under way included`() throws {
    try simulate(seed: 1) { scheduler in
      let desk = Desk(scheduler, failsBefore: 1)
      let reporter = desk.reporter(capacity: 10, lanes: 4)
      let accepted = Count()
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await reporter.run() }
        for number in 0..<30 {
          group.addTask {
            await reporter.report(desk.report(number))
            accepted.add()
          }
        }
        try await desk.clock.sleep(for: .seconds(30))
        #expect(accepted.value == 10)
        desk.failsBefore = 0
        try await desk.clock.sleep(for: .seconds(30))
        #expect(accepted.value == 30)
        reporter.close()
        try await group.waitForAll()
      }
      #expect(desk.told.count == 30)
    }
  }
}

private final class Count: Sendable {
  private let count = Atomic(0)

  var value: Int { count.load(ordering: .relaxed) }
  func add() { count.add(1, ordering: .relaxed) }
}

/// A store that takes reports and makes trouble, and what came of it.
private final class Desk: WorkSource {
  let clock: ProcessClock
  private let random = RandomSource(seed: 5)
  private let state: Mutex<State>

  private struct State {
    var failsBefore: Double
    var losesAnswer: Double
    var held: Int?
    var calls = 0
    var mostCalls = 0
    var told: [TaskID] = []
  }

  init(_ scheduler: Scheduler, failsBefore: Double = 0, losesAnswer: Double = 0) {
    clock = ProcessClock(scheduler: scheduler)
    state = Mutex(State(failsBefore: failsBefore, losesAnswer: losesAnswer))
  }

  var told: [TaskID] { state.withLock(\.told) }
  var mostCalls: Int { state.withLock(\.mostCalls) }
  var failsBefore: Double {
    get { state.withLock(\.failsBefore) }
    set { state.withLock { $0.failsBefore = newValue } }
  }

  /// The call with this report in it gets no answer until something else is said.
  func hold(_ number: Int?) {
    state.withLock { $0.held = number }
  }

  func reporter(capacity: Int = 10_000, lanes: Int) -> Reporter {
    Reporter(
      source: self, clock: clock, random: random, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
      capacity: capacity, lanes: lanes
    ) { report, _ in
      self.state.withLock { $0.told.append(report.task.id) }
    }
  }

  /// Reports that many, a millisecond apart, and closes.
  func report(_ count: Int, lanes: Int) async throws {
    let reporter = reporter(lanes: lanes)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await reporter.run() }
      for number in 0..<count {
        await reporter.report(report(number))
        try await clock.sleep(for: .milliseconds(1))
      }
      reporter.close()
      try await group.waitForAll()
    }
  }

  func report(_ number: Int) -> Reporter.Report {
    let lease = LeaseID(task: .stub(number), attempt: 1, token: 1)
    let task = ClaimedTask(
      lease: lease, expiresAt: .earliest, expiresIn: .seconds(30), type: "test", queue: "default", payload: [],
      priority: 5, maxAttempts: 4, timeout: .seconds(300), leaseDuration: .seconds(30), createdAt: .earliest,
      runAt: nil, availableAt: .earliest, startedAt: .earliest, readyAt: .earliest, tags: [], metadata: [:],
      traceparent: nil)
    return Reporter.Report(task: task, finish: Finish(lease: lease, outcome: .success, randomness: 0), ranFor: .zero)
  }

  func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    state.withLock { state in
      state.calls += 1
      state.mostCalls = max(state.mostCalls, state.calls)
    }
    defer { state.withLock { $0.calls -= 1 } }
    try? await clock.sleep(for: .milliseconds(5))
    while let held = state.withLock(\.held), finishes.contains(where: { $0.lease.task == .stub(held) }) {
      try? await clock.sleep(for: .milliseconds(10))
    }
    let (failsBefore, losesAnswer) = state.withLock { ($0.failsBefore, $0.losesAnswer) }
    if random.fraction() < failsBefore { throw .unavailable("down") }
    if random.fraction() < losesAnswer { throw .unknownOutcome("cut") }
    return finishes.map { _ in .applied(.success) }
  }

  func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] { requests.map { _ in [] } }
  func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] { renewals.map { _ in .lost } }
}
