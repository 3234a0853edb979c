// What the service makes of keys, refs and dependencies, over the reference store.

import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization
import Testing

@Suite struct SubmitterTests {
  private static let one = [UInt8](repeating: 1, count: 32)
  private static let two = [UInt8](repeating: 2, count: 32)

  private static func task(
    _ ref: String? = nil, after dependencies: String..., key: String? = nil
  ) -> NewTask {
    var task = NewTask(type: "other")
    task.ref = ref
    task.dependencies = dependencies
    task.idempotencyKey = key
    return task
  }

  private static func batch(_ tasks: NewTask...) -> SubmitRequest {
    SubmitRequest(tasks.map { .init($0, fingerprint: one) }, isBatch: true)
  }

  private static func single(_ task: NewTask, _ fingerprint: [UInt8] = one) -> SubmitRequest {
    SubmitRequest([.init(task, fingerprint: fingerprint)], isBatch: false)
  }

  /// The problems that a submission is refused for.
  private static func problems(_ node: SimulatedNode, _ request: SubmitRequest) async -> [ValidationProblem] {
    do throws(ServiceError) {
      _ = try await node.engine.service.submit(request)
      return []
    } catch {
      if case .invalid(let failure) = error { return failure.problems }
      return [ValidationProblem(pointer: "\(error)", detail: "")]
    }
  }

  private static func refusal(_ node: SimulatedNode, _ request: SubmitRequest) async -> ServiceError? {
    do throws(ServiceError) {
      _ = try await node.engine.service.submit(request)
      return nil
    } catch {
      return error
    }
  }

  @Test func `a repeated request is answered with its task, also where it would be refused by now`() throws {
    try EngineBench.run { bench, node in
      let end = Timestamp(milliseconds: 1_800_000_000_000) + .seconds(60)
      func request(_ key: String?, _ fingerprint: [UInt8] = Self.one, queue: String? = nil) -> SubmitRequest {
        var task = Self.task(key: key)
        (task.expiresAt, task.queue) = (end, queue)
        return Self.single(task, fingerprint)
      }
      let first = try await node.engine.service.submit(request("k"))[0].record
      var two = Self.batch(Self.task("a", key: "b1"), Self.task("b", after: "a", key: "b2"))
      for index in two.items.indices { two.items[index].task.expiresAt = end }
      let batch = try await node.engine.service.submit(two)
      try await bench.clock.sleep(for: .seconds(90))

      let again = try await node.engine.service.submit(request("k"))[0]
      #expect((again.record.id, again.isReplay, again.record.status) == (first.id, true, .cancelled))
      let all = try await node.engine.service.submit(two)
      #expect(all.map(\.record.id) == batch.map(\.record.id) && all.allSatisfy(\.isReplay))
      #expect(await Self.refusal(node, request("k", Self.two)) == .idempotencyKeyReused("k"))
      #expect(await Self.problems(node, request("new")).map(\.pointer) == ["/expiresAt"])
      #expect(await Self.problems(node, request(nil)).map(\.pointer) == ["/expiresAt"])
      #expect(await Self.problems(node, request("k", queue: "no queue")).map(\.pointer).contains("/queue"))
      two.items[1].task.idempotencyKey = "b3"
      #expect(await Self.problems(node, two).map(\.pointer) == ["/tasks/0/expiresAt", "/tasks/1/expiresAt"])
      #expect(try await bench.store.list(TaskQuery()).tasks.count == 3, "nothing was written for those")
      let later = try await node.engine.service.submit(Self.single(Self.task(key: "new")))[0]
      #expect(!later.isReplay, "the key was not taken")

      let bound = Credential(actor: "key:mail", roles: [.producer], queues: [QueuePattern("mail")].compactMap(\.self))
      do throws(ServiceError) {
        _ = try await node.engine.service.submit(request("k"), as: bound)
        Issue.record("told of a task that it may not see")
      } catch {
        #expect(error == .idempotencyKeyReused("k"))
      }
    }
  }

  @Test func `a batch is a graph, in which tasks know each other by ref`() throws {
    try EngineBench.run { _, node in
      let told = try await node.engine.service.submit(
        Self.batch(Self.task("b", after: "a"), Self.task("a"), Self.task(nil, after: "b", "a")))
      let ids = told.map(\.record.id)
      #expect(Set(ids).count == 3)
      #expect(told.map(\.record.dependencies) == [[ids[1]], [], [ids[0], ids[1]]])
      #expect(told.map(\.record.ref) == ["b", "a", nil])
      #expect(told.map(\.record.status) == [.pending, .ready, .pending])
      #expect(Set(told.map(\.record.graphID)).count == 1)
      #expect(told[0].record.graphID != nil)
      #expect(told.map(\.isReplay) == [false, false, false])
    }
  }

  @Test func `a batch without edges is no graph`() throws {
    try EngineBench.run { _, node in
      let told = try await node.engine.service.submit(Self.batch(Self.task("a"), Self.task("b")))
      #expect(told.map(\.record.graphID) == [nil, nil])
    }
  }

  @Test func `a single task joins the graph of what it waits for`() throws {
    try EngineBench.run { bench, node in
      let parent = try await node.engine.service.submit(Self.single(Self.task()))[0].record
      let child = try await node.engine.service.submit(Self.single(Self.task(nil, after: "\(parent.id)")))[0].record
      #expect(child.status == .pending)
      #expect(child.graphID != nil)
      #expect(try await bench.record(parent.id).graphID == child.graphID)
    }
  }

  @Test func `a ring is refused with its names`() throws {
    try EngineBench.run { _, node in
      let refusal = await Self.refusal(
        node, Self.batch(Self.task("a", after: "c"), Self.task("b", after: "a"), Self.task("c", after: "b")))
      guard case .dependencyCycle(let names) = refusal else {
        Issue.record("\(String(describing: refusal))")
        return
      }
      #expect(names.count == 3 && Set(names) == ["a", "b", "c"])
    }
  }

  @Test func `a repetition is told of its own task, though it cannot be read any more`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let fault = Mutex<Fault?>(nil)
      let isPruning = Mutex(false)
      let store = FaultyStore(
        bench.store,
        pause: { operation in
          guard operation == .tasks, isPruning.withLock(\.self) else { return }
          let policy = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero, keys: .zero)
          _ = try? await bench.store.prune(policy, limit: 10)
        }, fault: { operation, _ in operation == .tasks ? fault.withLock(\.self) : nil })
      try await bench.withNode(store: store) { node in
        let request = Self.single(Self.task(key: "k"))
        let id = try await node.engine.service.submit(request)[0].record.id
        _ = try await node.engine.service.cancel(id)

        fault.withLock { $0 = .before }
        do throws(ServiceError) {
          _ = try await node.engine.service.submit(request)
          Issue.record("it was read")
        } catch {
          guard case .store(.unknownOutcome, let tasks) = error else { throw error }
          #expect(tasks == [id])
        }
        fault.withLock { $0 = nil }
        isPruning.withLock { $0 = true }
        let again = try await node.engine.service.submit(request)[0]
        let stored = try await bench.store.tasks([id])
        #expect(stored == [nil], "it could be read still")
        #expect(again.isReplay && again.record.id == id)
      }
    }
  }

  @Test func `a batch has no more than 20,000 dependencies in all`() throws {
    try EngineBench.run { bench, node in
      func request(children: Int) -> SubmitRequest {
        var tasks = (0..<200).map { Self.task("p\($0)") }
        let parents = tasks.compactMap(\.ref)
        for number in 0..<children {
          var child = Self.task("c\(number)")
          child.dependencies = parents
          tasks.append(child)
        }
        return SubmitRequest(tasks.map { .init($0, fingerprint: Self.one) }, isBatch: true)
      }
      let problems = await Self.problems(node, request(children: 101))
      #expect(problems.map(\.pointer) == ["/tasks"])
      #expect(problems.first?.detail.contains("20200 dependencies in all") == true)
      let stored = try await bench.store.list(TaskQuery()).tasks
      #expect(stored.isEmpty)
      let accepted = try await node.engine.service.submit(request(children: 100))
      #expect(accepted.count == 300)
    }
  }

  @Test func `all problems of all tasks are told at once, each with its place`() throws {
    try EngineBench.run { _, node in
      var odd = Self.task("a", after: "nobody", key: "same")
      odd.priority = 12
      let problems = await Self.problems(node, Self.batch(Self.task("a", key: "same"), odd))
      #expect(
        Set(problems.map(\.pointer)) == [
          "/tasks/1/priority", "/tasks/1/ref", "/tasks/1/dependencies/0", "/tasks/1/idempotencyKey",
        ])
    }
  }

  @Test func `a dependency that is not stored is told at its place`() throws {
    try EngineBench.run { _, node in
      let known = try await node.engine.service.submit(Self.single(Self.task()))[0].record.id
      let problems = await Self.problems(
        node, Self.batch(Self.task("a"), Self.task(nil, after: "\(known)", "a", "\(TaskID.stub(7))")))
      #expect(problems.map(\.pointer) == ["/tasks/1/dependencies/2"])
    }
  }

  @Test func `the same request is answered with the same task as it is now`() throws {
    try EngineBench.run { bench, node in
      let first = try await node.engine.service.submit(Self.single(Self.task(key: "k")))[0].record
      _ = try await node.engine.service.cancel(first.id)
      let again = try await node.engine.service.submit(Self.single(Self.task(key: "k")))[0]
      #expect(again.isReplay)
      #expect(again.record == (try await bench.record(first.id)))
      #expect(again.record.status == .cancelled)
      #expect(
        await Self.refusal(node, Self.single(Self.task(key: "k"), Self.two)) == .idempotencyKeyReused("k"))
    }
  }

  @Test func `a key for the whole batch answers with all of its tasks`() throws {
    try EngineBench.run { _, node in
      var request = Self.batch(Self.task("a"), Self.task(nil, after: "a"))
      request.key = .init("batch", fingerprint: Self.one)
      let first = try await node.engine.service.submit(request)
      let again = try await node.engine.service.submit(request)
      let areReplays = again.allSatisfy(\.isReplay)
      #expect(areReplays)
      let ids = again.map(\.record.id)
      #expect(ids == first.map(\.record.id))
      #expect(again.map(\.record.idempotencyKey) == ["batch", "batch"])
      request.items[0].task.idempotencyKey = "batch"
      #expect(await Self.problems(node, request).map(\.pointer) == ["/tasks/0/idempotencyKey"])
    }
  }

  @Test func `beside a key for the whole batch, tasks may have keys of their own`() throws {
    try EngineBench.run { _, node in
      let service = node.engine.service
      let early = try await service.submit(Self.single(Self.task(key: "own"), Self.two))[0].record.id
      var request = Self.batch(Self.task("a", key: "own"), Self.task(nil, after: "a"), Self.task("c"))
      request.key = .init("batch", fingerprint: Self.one)
      request.items[0].fingerprint = Self.two
      let first = try await service.submit(request)
      #expect(first.map(\.isReplay) == [true, false, false])
      #expect(first[0].record.id == early && first[1].record.dependencies == [early])
      #expect(first.map(\.record.idempotencyKey) == ["own", "batch", "batch"])
      let again = try await service.submit(request)
      #expect(again.map(\.isReplay) == [true, true, true])
      let ids = again.map(\.record.id)
      #expect(ids == first.map(\.record.id))
      request.key = .init("batch", fingerprint: Self.two)
      #expect(await Self.refusal(node, request) == .idempotencyKeyReused("batch"))
      request.key = .init("batch", fingerprint: Self.one)
      request.items[0].fingerprint = Self.one
      #expect(await Self.refusal(node, request) == .idempotencyKeyReused("own"))
    }
  }

  @Test func `a replay has no key, no dependencies and no graph`() throws {
    try EngineBench.run { _, node in
      let parent = try await node.engine.service.submit(Self.single(Self.task()))[0].record.id
      var task = Self.task(nil, after: "\(parent)", key: "k")
      task.concurrencyKey = "customer-7"
      let child = try await node.engine.service.submit(Self.single(task))[0].record.id
      _ = try await node.engine.service.cancel(child)
      let replay = try await node.engine.service.replay(child)
      #expect(replay.replayOf == child)
      #expect(replay.dependencies == [] && replay.graphID == nil && replay.idempotencyKey == nil)
      #expect(replay.concurrencyKey == "customer-7")
      #expect(replay.status == .ready)
    }
  }

  @Test func `a chain runs in its order, and a failed link holds the rest`() throws {
    try EngineBench.run(handler: { payload, _, _ in
      if payload.bytes == Array("false".utf8) { throw TaskFailure.permanent("no") }
      return .done
    }) { bench, node in
      func link(_ ref: String, after dependencies: [String], works: Bool) -> NewTask {
        var task = NewTask(type: "test", payload: Array((works ? "true" : "false").utf8))
        task.ref = ref
        task.dependencies = dependencies
        return task
      }
      let told = try await node.engine.service.submit(
        Self.batch(
          link("c", after: ["b"], works: true), link("b", after: ["a"], works: false),
          link("a", after: [], works: true)))
      let service = node.engine.service
      #expect(try await service.task(told[2].record.id, finalWithin: .seconds(60)).status == .success)
      #expect(try await service.task(told[1].record.id, finalWithin: .seconds(60)).status == .dead)
      #expect(try await bench.record(told[0].record.id).status == .pending)
    }
  }
}
