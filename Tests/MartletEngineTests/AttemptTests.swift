// How attempts run and end: what handlers return, throw and say, and what becomes of their tasks.

import Logging
import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization
import Testing

@Suite struct AttemptTests {
  @Test func `a handler's result, log lines and progress are kept`() throws {
    try EngineBench.run(handler: { _, context, clock in
      context.log("line one")
      context.logger.info("line two")
      context.progress(40, "half way")
      try await clock.sleep(for: .seconds(40))
      return try .success(["width": 3])
    }) { bench, node in
      let id = try await bench.submit(node)
      let running = try await bench.wait(for: id) { $0.progress != nil }
      #expect(running.progress == Progress(percent: 40, message: "half way"))
      let task = try await bench.wait(for: id)
      #expect(task.status == .success)
      #expect(task.result == Array(#"{"width":3}"#.utf8))
      #expect(try await bench.attempts(id).map(\.logs) == [["line one", "info: line two"]])
    }
  }

  @Test func `a thrown error is retried after the backoff until the budget is used up`() throws {
    try EngineBench.run(handler: { _, _, _ in throw TaskFailure.retry("no luck") }) { bench, node in
      let start = bench.clock.now
      let id = try await bench.submit(node) { $0.retries = 2 }
      let task = try await bench.wait(for: id)
      #expect(task.status == .dead)
      #expect(task.reason == .retriesExhausted)
      #expect(task.attempt == 3)
      #expect(task.lastError == TaskError(type: "FAILED", message: "no luck"))
      #expect((3.0...3.5).contains(bench.seconds(since: start)), "1 s and 2 s of backoff")
    }
  }

  @Test func `a task that nobody takes ends as soon as it expires`() throws {
    try EngineBench.run { bench, node in
      try await bench.clock.sleep(for: .seconds(7.3))
      let submitted = try await node.engine.service.submit([
        {
          var task = NewTask(type: "nobody")
          task.expiresAt = Timestamp(milliseconds: 1_800_000_000_000) + .seconds(8.5)
          return task
        }()
      ])[0]
      #expect(submitted.status == .ready)
      let task = try await bench.wait(for: submitted.id)
      #expect((task.status, task.reason) == (.cancelled, .expired))
      let late = try #require(task.finishedAt) - submitted.createdAt
      #expect((.milliseconds(1190)...Duration.milliseconds(1300)).contains(late), "\(late)")
    }
  }

  @Test func `a failure that says when is retried then, whatever the backoff`() throws {
    try EngineBench.run(handler: { _, context, _ in
      if context.attempt == 1 { throw TaskFailure.retry("later", after: .seconds(20)) }
      return .done
    }) { bench, node in
      let start = bench.clock.now
      let id = try await bench.submit(node)
      #expect(try await bench.wait(for: id).status == .success)
      #expect((20.0...20.5).contains(bench.seconds(since: start)))
    }
  }

  @Test(arguments: [true, false])
  func `a permanent failure is not retried`(ownType: Bool) throws {
    struct Hopeless: PermanentError {}
    try EngineBench.run(handler: { _, _, _ in
      if ownType { throw Hopeless() }
      throw TaskFailure.permanent("never")
    }) { bench, node in
      let task = try await bench.wait(for: bench.submit(node))
      #expect(task.status == .dead)
      #expect(task.reason == .nonRetryable)
      #expect(task.attempt == 1)
    }
  }

  @Test func `a snooze holds no slot and costs no retry`() throws {
    try EngineBench.run(handler: { _, context, _ in context.attempt < 3 ? .snooze(for: .seconds(100)) : .done }) {
      bench, node in
      let id = try await bench.submit(node) { $0.retries = 1 }
      try await bench.wait(for: id) { $0.status == .pending }
      #expect(node.engine.busy == 0)
      let task = try await bench.wait(for: id)
      #expect(task.status == .success)
      #expect(task.attempt == 3)
      #expect(task.retriesLeft == 1)
    }
  }

  @Test func `a payload that does not decode is refused at submit, and ends DEAD if it came another way`() throws {
    try EngineBench.run { bench, node in
      await #expect(throws: ServiceError.self) {
        try await bench.submit(node) {
          $0.type = TypedHandler.type
          $0.payload = Array(#"{"width":"wide"}"#.utf8)
        }
      }
      for payload in [#"{"width":"wide"}"#, #"{"width":0}"#, "[]"] {
        let now = try await bench.store.now()
        let id = TaskIDGenerator(random: RandomSource(seed: UInt64(payload.count))).next(at: now)
        let task = try NewTask(type: TypedHandler.type, payload: Array(payload.utf8))
          .accepted(id: id, defaults: TaskDefaults(), now: now)
        _ = try await bench.store.submit([Submission([task])])
        let record = try await bench.wait(for: id)
        #expect(record.status == .dead)
        #expect(record.reason == .badPayload)
        #expect(record.lastError?.type == "BAD_PAYLOAD")
      }
    }
  }

  @Test func `an attempt is stopped at its timeout and retried`() throws {
    try EngineBench.run(handler: { _, context, clock in
      if context.attempt == 1 { try await clock.sleep(for: .seconds(3600)) }
      return .done
    }) { bench, node in
      let start = bench.clock.now
      let id = try await bench.submit(node) { $0.timeoutSeconds = 7 }
      let task = try await bench.wait(for: id)
      #expect(task.status == .success)
      #expect(try await bench.attempts(id).map(\.outcome) == [.timedOut, .success])
      #expect((7.9...9.5).contains(bench.seconds(since: start)), "7 s, then 1 s of backoff")
    }
  }

  @Test func `a task longer than its lease keeps it by renewals`() throws {
    try EngineBench.run(handler: { _, _, clock in
      try await clock.sleep(for: .seconds(200))
      return .done
    }) { bench, node in
      let id = try await bench.submit(node) { $0.leaseSeconds = 3 }
      let task = try await bench.wait(for: id)
      #expect(task.status == .success)
      #expect(task.attempt == 1)
    }
  }

  @Test func `a cancelled task's handler is told at once, not at its next renewal`() throws {
    try EngineBench.run(handler: { _, _, clock in
      try await clock.sleep(for: .seconds(250))
      return .done
    }) { bench, node in
      let id = try await bench.submit(node) { $0.leaseSeconds = 300 }
      try await bench.wait(for: id) { $0.status == .running }
      let start = bench.clock.now
      _ = try await node.engine.service.cancel(id)
      let task = try await bench.wait(for: id)
      #expect(task.status == .cancelled)
      #expect(task.reason == .requested)
      #expect(bench.seconds(since: start) < 1)
    }
  }

  @Test func `work that was done stays done, though its cancellation was asked for`() throws {
    try EngineBench.run(handler: { _, _, clock in
      try? await clock.sleep(for: .seconds(250))
      return .done
    }) { bench, node in
      let id = try await bench.submit(node)
      try await bench.wait(for: id) { $0.status == .running }
      _ = try await node.engine.service.cancel(id)
      #expect(try await bench.wait(for: id).status == .success)
    }
  }

  @Test func `a type that nobody handles stays READY`() throws {
    try EngineBench.run { bench, node in
      let id = try await bench.submit(node) { $0.type = "unheard-of" }
      try await bench.clock.sleep(for: .seconds(600))
      #expect(try await bench.record(id).status == .ready)
    }
  }

  @Test func `slow tasks are claimed one for each slot and no more`() throws {
    var options = SimulatedNode.Options()
    options.concurrency = 3
    try EngineBench.run(
      options: options,
      handler: { _, _, clock in
        try await clock.sleep(for: .seconds(30))
        return .done
      }
    ) { bench, node in
      for _ in 0..<10 { try await bench.submit(node) }
      for _ in 0..<60 {
        try await bench.clock.sleep(for: .seconds(1))
        let running = try await bench.store.counts().first { $0.status == .running }?.count ?? 0
        #expect(running <= 3)
      }
    }
  }

  @Test func `what has lost a worker before is never claimed ahead of a free slot`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let lost = AcceptedTask.stub(1, type: TestHandler.type, lease: .seconds(5))
      _ = try await bench.store.submit([Submission([lost])])
      let stranger = ClaimRequest(worker: "gone", queues: ["default"], types: [TestHandler.type], limit: 1, token: 1)
      #expect(try await bench.store.claim([stranger]).first?.count == 1)
      var options = SimulatedNode.Options()
      options.concurrency = 1
      try await bench.withNode(
        options: options,
        handler: { payload, _, clock in
          if payload.bytes == Array("60".utf8) { try await clock.sleep(for: .seconds(60)) }
          return .done
        }
      ) { node in
        // Quick at first, so that the worker claims ahead of its slot.
        for _ in 0..<20 { try await bench.submit(node) }
        try await bench.clock.sleep(for: .seconds(1))
        let long = try await bench.submit(node) { $0.payload = Array("60".utf8) }
        try await bench.wait(for: long) { $0.status == .running }
        try await bench.clock.sleep(for: .seconds(20))
        let other = try await bench.submit(node)
        try await bench.clock.sleep(for: .seconds(5))
        #expect(try await bench.record(long).status == .running)
        #expect(try await bench.record(other).status == .running, "claimed ahead")
        let waiting = try await bench.record(lost.id)
        #expect(waiting.status == .ready && waiting.attempt == 1)
        #expect(try await bench.wait(for: lost.id).status == .success)
      }
    }
  }

  @Test func `a due task is started at its time`() throws {
    try EngineBench.run { bench, node in
      let start = bench.clock.now
      let id = try await bench.submit(node) { $0.delaySeconds = 12.5 }
      let task = try await bench.wait(for: id)
      #expect(task.startedAt ?? .earliest >= task.createdAt + .milliseconds(12_500))
      #expect(bench.seconds(since: start) < 12.6)
    }
  }
}
