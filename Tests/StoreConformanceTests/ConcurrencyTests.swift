// Many callers at once: what each of them is told must fit together.

import MartletCore
import MartletTestKit
import Testing

@Suite struct ConcurrencyTests {
  @Test(arguments: stores)
  func `of many claims at once no two get the same task, and none is forgotten`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...300).map { .stub($0) })
      let claimed = try await withThrowingTaskGroup(of: [ClaimedTask].self) { group in
        for caller in 1...12 {
          group.addTask {
            var mine: [ClaimedTask] = []
            while true {
              let more = try await bench.claim(limit: 7, worker: "worker-\(caller)", token: Int64(caller))
              if more.isEmpty { return mine }
              mine += more
            }
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(claimed.map(\.id).sorted() == (1...300).map { TaskID.stub($0) })
      for task in claimed {
        #expect(try await bench.record(task.id).worker == "worker-\(task.lease.token)")
      }
    }
  }

  @Test(arguments: stores)
  func `of a report and a rescue at once exactly one ends the attempt`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for round in 1...rounds(100) {
        let claimed = try await bench.running(.stub(round, retries: 0))
        bench.advance(.seconds(30))
        async let reported = bench.finish(claimed.lease, .success)
        async let rescued = bench.rescue()
        let (verdict, rescue) = (try await reported, try await rescued)
        let status = try await bench.record(.stub(round)).status
        #expect((verdict == .applied(.success)) != (rescue.rescued.count == 1))
        #expect(verdict == .applied(.success) ? status == .success : verdict == .lost && status == .dead)
        #expect(try await bench.attempts(.stub(round)).count == 1)
      }
    }
  }

  @Test(arguments: stores)
  func `of a failure and a cancel at once the first to commit decides`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for round in 1...rounds(100) {
        let (verdict, steering) = try await Self.race(.failed, with: .cancel, in: round, on: bench)
        let task = try await bench.record(.stub(round))
        // Either the cancel found it running and the failure ended it, or the failure made it RETRY and the cancel ended that.
        #expect(task.status == .cancelled)
        #expect(verdict == .applied(task.cancelRequested ? .cancelled : .retry))
        guard case .done(let told) = steering else {
          Issue.record("the cancel was answered \(String(describing: steering))")
          continue
        }
        #expect(told.status == (task.cancelRequested ? .running : .cancelled))
      }
    }
  }

  @Test(arguments: stores)
  func `of a success and a cancel at once the success stays one, and the cancel is told which came first`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      for round in 1...rounds(100) {
        let (verdict, steering) = try await Self.race(.success, with: .cancel, in: round, on: bench)
        let task = try await bench.record(.stub(round))
        // Either the cancel found it running and was too late for the work, or it found the success.
        #expect(task.status == .success)
        #expect(task.reason == nil)
        #expect(verdict == .applied(.success))
        switch steering {
        case .done(let told):
          #expect(told.status == .running)
          #expect(told.cancelRequested && task.cancelRequested)
        case .illegal(let status):
          #expect(status == .success)
          #expect(!task.cancelRequested)
        case .notFound, nil: Issue.record("the cancel was answered \(String(describing: steering))")
        }
        // One end, and none of it taken back.
        #expect(try await bench.events(.stub(round)).count { $0.type == .succeeded || $0.type == .cancelled } == 1)
      }
    }
  }

  /// A report and a command for one running task, at the same instant.
  private static func race(
    _ outcome: Outcome, with action: Steering.Action, in round: Int, on bench: StoreBench
  ) async throws -> (FinishVerdict?, SteeringVerdict?) {
    let claimed = try await bench.running(.stub(round))
    async let reported = bench.finish(claimed.lease, outcome)
    async let steered = bench.steer(action, .stub(round))
    return (try await reported, try await steered)
  }

  @Test(arguments: stores)
  func `of many equal submissions at once one is stored, and all are told its time`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let verdicts = try await withThrowingTaskGroup(of: [SubmissionVerdict].self) { group in
        for _ in 1...50 {
          group.addTask {
            bench.advance(.milliseconds(1))
            return try await bench.store.submit([Submission([.stub(1), .stub(2)])])
          }
        }
        return try await group.reduce(into: Set<[SubmissionVerdict]>()) { $0.insert($1) }
      }
      #expect(verdicts == [[.accepted(at: try await bench.record().createdAt)]])
      #expect(try await bench.countsByStatus() == [.ready: 2])
      #expect(try await bench.events().count == 2)
    }
  }

  @Test(arguments: stores)
  func `a call once begun is carried out though its caller is cancelled`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let verdicts = try await withThrowingTaskGroup(of: [SubmissionVerdict].self) { group in
        group.cancelAll()
        group.addTask { try await bench.store.submit([Submission([.stub(1)])]) }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      #expect(verdicts == [.accepted(at: start)])
      #expect(try await bench.record().status == .ready)
    }
  }
}
