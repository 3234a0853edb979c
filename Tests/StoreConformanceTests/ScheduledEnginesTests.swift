// Whole engines over one store, whose schedules they all see: of each tick one of them makes a task, whoever comes and goes.

import Logging
import MartletCore
import MartletEngine
import MartletTestKit
import Testing

@Suite struct ScheduledEnginesTests {
  /// The engines' clock goes with the store's.
  private struct FollowingClock: EngineClock {
    let time: ManualTime

    var now: MonotonicTime { MonotonicTime(nanoseconds: (time.now - ManualTime.start).wholeMilliseconds * 1_000_000) }

    func sleep(until deadline: MonotonicTime) async throws {
      while now < deadline { try await Task.sleep(for: .milliseconds(1)) }
      try Task.checkCancellation()
    }
  }

  private static func engine(over bench: StoreBench, seed: UInt64) throws -> Engine {
    Engine(
      EngineSettings(), store: bench.store, registry: try HandlerRegistry([]), executor: globalConcurrentExecutor,
      clock: FollowingClock(time: bench.time), random: RandomSource(seed: seed),
      metrics: TaskMetrics(factory: PrometheusRegistry()),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  /// Runs so many engines meanwhile.
  private static func withEngines(
    _ seeds: ClosedRange<UInt64>, over bench: StoreBench, _ body: () async throws -> Void
  ) async throws {
    let engines = try seeds.map { try engine(over: bench, seed: $0) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for engine in engines { group.addTask { await engine.run() } }
      defer { for engine in engines { engine.drain() } }
      try await body()
    }
  }

  private static func tick(_ bench: StoreBench, _ names: [String]) async throws {
    bench.advance(.seconds(1))
    for name in names {
      while try await bench.store.schedule(name).map({ $0.handled < bench.now }) == true {
        try await Task.sleep(for: .milliseconds(1))
      }
    }
  }

  @Test(arguments: stores, [Schedule.Misfire.skip, .fireOnce])
  func `each tick makes one task, on two engines and over a restart of both`(
    store: StoreUnderTest, misfire: Schedule.Misfire
  ) async throws {
    try await store.onBench { bench in
      let names = (0..<5).map { "s\($0)" }
      for (number, name) in names.enumerated() {
        let schedule = Schedule(
          name: name, recurrence: .every(milliseconds: 1000), misfire: misfire, overlap: .allow, paused: false,
          task: NewTask(type: "resize"))
        _ = try await bench.store.putSchedule(
          ScheduleChange(schedule, revision: Int64(number + 1), expected: nil, actor: "test"))
      }
      try await Self.withEngines(1...2, over: bench) {
        for _ in 1...10 { try await Self.tick(bench, names) }
      }
      bench.advance(.seconds(3600))
      try await Self.withEngines(3...4, over: bench) {
        // The latest of those missed is just due.
        for _ in 1...10 { try await Self.tick(bench, names) }
      }
      for name in names {
        var query = TaskQuery()
        query.scheduleName = name
        let ticks = try await bench.listAll(query).reversed().compactMap(\.runAt)
        // At the start of the second pair the last tick of the pause is on time, or the one after it comes first.
        let expected = (1...10).map { start + .seconds($0) } + (3611...3620).map { start + .seconds($0) }
        #expect(ticks.filter { $0 != start + .seconds(3610) } == expected)
      }
    }
  }
}
