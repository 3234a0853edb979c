// Tasks that wait for others: when they go on, when they do not, and what is shown of them together.

import MartletCore
import MartletTestKit
import Testing

@Suite struct DependencyTests {
  private static func task(
    _ number: Int, after parents: Int..., policy: DependencyPolicy = .hold, eligible: When = .now
  ) -> AcceptedTask {
    var task = AcceptedTask.stub(number, eligible: eligible, retries: 0)
    task.dependencies = parents.map { .stub($0) }
    task.onDependencyFailure = policy
    return task
  }

  private static let parent = AcceptedTask.stub(1, retries: 0)

  // MARK: Waiting

  @Test(arguments: stores)
  func `a task waits until all that it depends on have succeeded`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.parent, .stub(2))
      try await bench.submit(Self.task(3, after: 1, 2))
      #expect(try await bench.record(.stub(3)).status == .pending)
      #expect(try await bench.events(.stub(3)) == [event(1, .received, start, by: "api")])
      #expect(try await bench.promote().promoted == 0)

      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.record(.stub(3)).status == .pending)
      bench.advance(.seconds(5))
      try await bench.finish(try await bench.claimOne().lease, .success)
      let record = try await bench.record(.stub(3))
      #expect(record.status == .ready)
      #expect(record.availableAt == start + .seconds(5))
      #expect(try await bench.events(.stub(3)).last == event(2, .ready, start + .seconds(5), by: "scheduler"))
      #expect(try await bench.claimOne().id == .stub(3))
    }
  }

  @Test(arguments: stores)
  func `what has succeeded already is not waited for`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.bring(.stub(1), to: .success)
      try await bench.submit(Self.task(2, after: 1))
      #expect(try await bench.record(.stub(2)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `its time has to come as well, in whichever order`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.parent)
      try await bench.submit(Self.task(2, after: 1, eligible: .after(.seconds(60))))
      try await bench.submit(Self.task(3, after: 1, eligible: .after(.seconds(10))))
      bench.advance(.seconds(30))
      #expect(try await bench.promote().promoted == 0)
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.record(.stub(2)).status == .pending)
      #expect(try await bench.record(.stub(3)).status == .ready)
      bench.advance(.seconds(30))
      #expect(try await bench.promote().promoted == 1)
      #expect(try await bench.record(.stub(2)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `within a submission the order does not matter`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([Self.task(3, after: 2), Self.task(2, after: 1), Self.parent])
      for number in 1...3 {
        let claimed = try await bench.claim(limit: 3)
        #expect(claimed.map(\.id) == [.stub(number)])
        try await bench.finish(claimed[0].lease, .success)
      }
    }
  }

  @Test(arguments: stores)
  func `what is stored nowhere refuses the whole submission`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let submissions = [Submission([Self.task(2, after: 9, 8), Self.parent]), Submission([.stub(3)])]
      let verdicts = try await bench.verdicts(submissions)
      #expect(verdicts == [.unknownDependencies([.stub(8), .stub(9)]), .accepted(at: start)])
      #expect(try await bench.countsByStatus() == [.ready: 1])
    }
  }

  @Test(arguments: stores)
  func `no time and no patch makes it READY while it waits`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.parent)
      try await bench.submit(Self.task(2, after: 1, eligible: .after(.seconds(60))))
      try await bench.steer(.patch(TaskPatch(available: .now)), .stub(2))
      #expect(try await bench.record(.stub(2)).status == .pending)
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.record(.stub(2)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `a task that waits can expire and can be cancelled`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.parent)
      var expiring = Self.task(2, after: 1)
      expiring.expiresAt = start + .seconds(10)
      try await bench.submit(expiring, Self.task(3, after: 1))
      try await bench.steer(.cancel, .stub(3))
      bench.advance(.seconds(10))
      try await bench.promote()
      #expect(try await bench.record(.stub(2)).reason == .expired)
      #expect(try await bench.record(.stub(3)).reason == .requested)
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.countsByStatus() == [.success: 1, .cancelled: 2])
    }
  }

  @Test(arguments: stores)
  func `a fan of a thousand waits for each and starts once`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let parents = (1...1000).map { AcceptedTask.stub($0) }
      var last = AcceptedTask.stub(1001)
      last.dependencies = parents.map(\.id)
      try await bench.submit(parents + [last])
      let claimed = try await bench.claim(limit: 1000)
      #expect(claimed.count == 1000)
      let finishes = claimed.map { Finish(lease: $0.lease, outcome: .success, randomness: 0) }
      _ = try await bench.store.finish(Array(finishes.dropLast()))
      #expect(try await bench.record(last.id).status == .pending)
      _ = try await bench.store.finish(Array(finishes.suffix(1)))
      #expect(try await bench.record(last.id).status == .ready)
      #expect(try await bench.events(last.id).count == 2)
    }
  }

  // MARK: Failures

  @Test(arguments: stores)
  func `HOLD waits on, and goes on when the dead one is retried and succeeds`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.parent)
      try await bench.submit(Self.task(2, after: 1))
      try await bench.finish(try await bench.claimOne().lease, .failed)
      #expect(try await bench.record().status == .dead)
      #expect(try await bench.record(.stub(2)).status == .pending)
      try await bench.steer(.retry)
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.record(.stub(2)).status == .ready)
    }
  }

  @Test(arguments: stores, [TaskStatus.dead, .cancelled])
  func `CANCEL goes down the graph as each one's policy says`(store: StoreUnderTest, end: TaskStatus) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.parent)
      try await bench.submit([
        Self.task(2, after: 1, policy: .cancel), Self.task(3, after: 2, policy: .cancel),
        Self.task(4, after: 2, policy: .hold), Self.task(5, after: 3, policy: .run),
      ])
      if end == .dead {
        try await bench.finish(try await bench.claimOne().lease, .failed)
      } else {
        try await bench.steer(.cancel)
      }
      try await bench.settleAll()
      #expect(try await bench.record(.stub(2)).reason == .dependencyFailed)
      #expect(
        try await bench.events(.stub(2)).last
          == event(2, .cancelled, start, by: "scheduler", "DEPENDENCY_FAILED"))
      #expect(try await bench.record(.stub(3)).status == .cancelled)
      #expect(try await bench.record(.stub(4)).status == .pending)
      #expect(try await bench.record(.stub(5)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `RUN starts when all are final, however they ended`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.parent, .stub(2))
      try await bench.submit(Self.task(3, after: 1, 2, policy: .run))
      try await bench.finish(try await bench.claimOne().lease, .failed)
      #expect(try await bench.record(.stub(3)).status == .pending)
      try await bench.steer(.cancel, .stub(2))
      #expect(try await bench.record(.stub(3)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `one that has failed already means the same at submission`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.bring(.stub(1), to: .dead)
      try await bench.submit([
        Self.task(2, after: 1), Self.task(3, after: 1, policy: .cancel), Self.task(4, after: 1, policy: .run),
        Self.task(5, after: 3, policy: .cancel),
      ])
      try await bench.settleAll()
      #expect(try await bench.record(.stub(2)).status == .pending)
      #expect(try await bench.record(.stub(3)).reason == .dependencyFailed)
      #expect(try await bench.events(.stub(3)).map(\.type) == [.received, .cancelled])
      #expect(try await bench.record(.stub(4)).status == .ready)
      #expect(try await bench.record(.stub(5)).reason == .dependencyFailed)
    }
  }

  @Test(arguments: stores)
  func `a cancelled one that is retried waits again for what is not met`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.parent)
      try await bench.submit(Self.task(2, after: 1, policy: .cancel))
      try await bench.finish(try await bench.claimOne().lease, .failed)
      try await bench.settleAll()
      try await bench.steer(.retry, .stub(2))
      #expect(try await bench.record(.stub(2)).status == .pending)
      #expect(try await bench.events(.stub(2)).map(\.type) == [.received, .cancelled, .retried])
      try await bench.steer(.retry)
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.record(.stub(2)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `a lost worker, a late claim and a promotion settle as a report does`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      // By the rescuer.
      try await bench.submit(Self.parent)
      try await bench.submit(Self.task(2, after: 1, policy: .run))
      let lost = try await bench.claimOne()
      bench.advance(lost.leaseDuration)
      try await bench.rescue()
      #expect(try await bench.record(.stub(2)).status == .ready)
      // By expiry, whether a claim or a promotion comes upon it.
      var expiring = AcceptedTask.stub(3, queue: "other")
      expiring.expiresAt = bench.now + .seconds(1)
      try await bench.submit(expiring)
      try await bench.submit(Self.task(4, after: 3, policy: .run))
      bench.advance(.seconds(1))
      _ = try await bench.claim(queues: ["other"])
      try await bench.promote()
      try await bench.settleAll()
      #expect(try await bench.record(.stub(3)).reason == .expired)
      #expect(try await bench.record(.stub(4)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `two last ones at the same instant release once`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for round in 0..<races {
        let (left, right, child) = (round * 3 + 1, round * 3 + 2, round * 3 + 3)
        try await bench.submit([.stub(left), .stub(right), Self.task(child, after: left, right)])
        let claimed = try await bench.claim(limit: 2)
        try #require(claimed.count == 2)
        try await withThrowingTaskGroup(of: Void.self) { group in
          for task in claimed { group.addTask { try await bench.finish(task.lease, .success) } }
          try await group.waitForAll()
        }
        #expect(try await bench.events(.stub(child)).map(\.type) == [.received, .ready])
        try await bench.finish(try await bench.claimOne().lease, .success)
      }
    }
  }

  // MARK: Retention

  @Test(arguments: stores)
  func `what a task not yet final depends on is kept`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let policy = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero)
      try await bench.submit(Self.parent, .stub(2))
      try await bench.submit(Self.task(3, after: 1, 2))
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.store.prune(policy, limit: 10) == 0)
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.store.prune(policy, limit: 10) == 0)
      try await bench.finish(try await bench.claimOne().lease, .success)
      var pruned = 0
      for _ in 0..<10 { pruned += try await bench.store.prune(policy, limit: 10) }
      #expect(pruned == 3)
    }
  }

  // MARK: Graphs

  @Test(arguments: stores)
  func `a graph shows its tasks with their refs, and who waits for whom`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let graph = TaskID.stub(100)
      var tasks = [Self.task(1), Self.task(2, after: 1), Self.task(3, after: 2, 1)]
      for (index, ref) in ["a", "b", nil].enumerated() {
        tasks[index].ref = ref
        tasks[index].graph = .member(graph)
      }
      try await bench.submit(tasks)
      let found = try #require(try await bench.store.graph(graph))
      #expect(
        found.members == [
          .init(id: .stub(1), ref: "a", type: "resize", status: .ready),
          .init(id: .stub(2), ref: "b", type: "resize", status: .pending),
          .init(id: .stub(3), ref: nil, type: "resize", status: .pending),
        ])
      #expect(
        found.edges == [
          .init(from: .stub(1), to: .stub(2)), .init(from: .stub(2), to: .stub(3)), .init(from: .stub(1), to: .stub(3)),
        ])
      #expect(try await bench.store.graph(.stub(99)) == nil)
      var query = TaskQuery()
      query.graphID = graph
      #expect(try await bench.listAll(query).map(\.id) == [.stub(3), .stub(2), .stub(1)])
    }
  }

  @Test(arguments: stores)
  func `a single task joins the graph of its first dependency, or makes one with it`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.parent)
      var child = Self.task(2, after: 1)
      child.graph = .joinsFirstDependency(orElse: .stub(100))
      try await bench.submit(child)
      var grandchild = Self.task(3, after: 2)
      grandchild.graph = .joinsFirstDependency(orElse: .stub(101))
      try await bench.submit(grandchild)
      for number in 1...3 { #expect(try await bench.record(.stub(number)).graphID == .stub(100)) }
      #expect(try await bench.store.graph(.stub(101)) == nil)
    }
  }
}

extension StoreBench {
  /// Until no cascade has anything left to do.
  func settleAll() async throws {
    while try await store.settle(limit: 100).isPartial {}
  }
}
