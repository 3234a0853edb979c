// The notifier: who is told what, how often it is tried, and what one receiver's trouble means for the others.

import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization
import Testing

/// Writes down what it is given, and answers as the test says.
private final class Post: NoticeSender {
  struct Entry: Sendable {
    var delivery: NoticeDelivery
    var at: MonotonicTime
    var process: Int
  }

  private let entries = Mutex<[Entry]>([])
  private let underWay = Mutex<(now: [String: Int], most: [String: Int])>(([:], [:]))
  let answer: @Sendable (NoticeDelivery, Int, any EngineClock) async -> NoticeVerdict

  /// - Parameter answer: asked with the number of the delivery among those of its notice: 1 is the first.
  init(_ answer: @escaping @Sendable (NoticeDelivery, Int, any EngineClock) async -> NoticeVerdict) {
    self.answer = answer
  }

  var channels: Set<NoticeChannel> { [.webhook, .email] }
  var all: [Entry] { entries.withLock(\.self) }
  func most(at destination: String) -> Int { underWay.withLock { $0.most[destination] ?? 0 } }

  func deliver(_ delivery: NoticeDelivery) async -> NoticeVerdict { .failed("not on a node") }

  fileprivate func deliver(_ delivery: NoticeDelivery, on node: SimulatedNode.Identity) async -> NoticeVerdict {
    let number = entries.withLock { entries in
      entries.append(Entry(delivery: delivery, at: node.clock.now, process: node.process))
      return entries.count { $0.delivery.notice.id == delivery.notice.id }
    }
    let destination = delivery.notice.destination
    underWay.withLock { state in
      state.now[destination, default: 0] += 1
      state.most[destination] = max(state.most[destination] ?? 0, state.now[destination] ?? 0)
    }
    let verdict = await answer(delivery, number, node.clock)
    underWay.withLock { $0.now[destination, default: 1] -= 1 }
    return verdict
  }

  /// This post as one node has it.
  func on(_ node: SimulatedNode.Identity) -> any NoticeSender { Counter(post: self, node: node) }

  private struct Counter: NoticeSender {
    let post: Post
    let node: SimulatedNode.Identity

    var channels: Set<NoticeChannel> { post.channels }

    func deliver(_ delivery: NoticeDelivery) async -> NoticeVerdict { await post.deliver(delivery, on: node) }
  }
}

@Suite struct NotifierTests {
  private static let hook = "https://hooks.example/x"

  private static func options(_ post: Post) -> SimulatedNode.Options {
    var options = SimulatedNode.Options()
    options.noticeSender = { post.on($0) }
    return options
  }

  private static func run(
    _ post: Post,
    handler: @escaping @Sendable (RawJSON, AttemptContext, ProcessClock) async throws -> TaskResult = { _, _, _ in .done
    },
    _ body: @escaping @Sendable (EngineBench, SimulatedNode) async throws -> Void
  ) throws {
    try EngineBench.run(options: options(post), handler: handler, body)
  }

  private static func notices(_ bench: EngineBench) async throws -> [NoticeRecord] {
    var query = NoticeQuery()
    query.limit = 1000
    return try await bench.store.notices(query).notices
  }

  /// Once there is one and none is pending any more.
  @discardableResult
  private static func settled(_ bench: EngineBench) async throws -> [NoticeRecord] {
    let end = bench.clock.now + .seconds(10 * 86_400)
    var pause = Duration.milliseconds(1)
    while bench.clock.now < end {
      let all = try await notices(bench)
      if !all.isEmpty, all.allSatisfy({ $0.status != .pending }) { return all }
      try await bench.clock.sleep(for: pause)
      pause = min(pause * 2, .seconds(60))
    }
    throw EngineBench.Missing()
  }

  @Test func `a task that dies is told of within a second, with its error and the lines of its last attempt`() throws {
    let post = Post { _, _, _ in .delivered }
    try Self.run(
      post,
      handler: { _, context, _ in
        context.log("attempt \(context.attempt)")
        throw TaskFailure.retry("no room", type: "HTTP_503")
      }
    ) { bench, node in
      let id = try await bench.submit(node) {
        $0.retries = 1
        $0.notify = [NoticeTarget(.webhook(Self.hook), on: [.dead])]
      }
      try await bench.wait(for: id)
      let end = bench.clock.now
      let notice = try await Self.settled(bench)[0]
      #expect(bench.clock.now - end <= .seconds(1))
      #expect((notice.status, notice.attempts, notice.lastError) == (.delivered, 1, nil))
      let delivery = try #require(post.all.first).delivery
      #expect(delivery.task == (try await bench.record(id)))
      #expect(delivery.task.lastError?.message == "no room")
      #expect(delivery.logs.contains { $0.hasSuffix("attempt 2") })
      #expect(!delivery.logs.contains { $0.hasSuffix("attempt 1") })
      #expect(delivery.notice.id == notice.id)
      #expect(await node.engine.service.readiness().components.first { $0.name == "notices" }?.isHealthy == true)
    }
  }

  @Test func `what fails is tried again under the same id, later and later, and by hand at once`() throws {
    let isDown = Atomic(true)
    let post = Post { _, _, _ in isDown.load(ordering: .relaxed) ? .failed("answered 500") : .delivered }
    try Self.run(post) { bench, node in
      try await bench.wait(for: try await bench.submit(node) { $0.notify = [NoticeTarget(.webhook(Self.hook))] })
      while post.all.count < 8 { try await bench.clock.sleep(for: .seconds(1)) }
      let pauses = zip(post.all.dropFirst(), post.all).map { $0.at - $1.at }
      for (number, pause) in pauses.enumerated() {
        let longest = NoticePatience.pause(after: number + 1, randomness: 0)
        #expect(pause >= longest * 0.8 && pause <= longest + .seconds(1), "\(number)")
      }
      #expect(pauses.last.map { $0 > .seconds(2900) } == true)
      let component = await node.engine.service.readiness().components.first { $0.name == "notices" }
      #expect(component?.isHealthy == false && component?.detail == "webhook: answered 500")
      #expect(await node.engine.service.readiness().canServe, "nobody waits for notices")
      let waiting = try #require(try await Self.notices(bench).first)
      #expect((waiting.status, waiting.attempts, waiting.lastError) == (.pending, 8, "answered 500"))
      isDown.store(false, ordering: .relaxed)
      _ = try await node.engine.service.resend(waiting.id)
      try await bench.clock.sleep(for: .seconds(1))
      let told = try #require(try await Self.notices(bench).first)
      #expect((told.status, told.attempts) == (.delivered, 9))
      #expect(Set(post.all.map(\.delivery.notice.id)) == [told.id])
      #expect(await node.engine.service.readiness().components.first { $0.name == "notices" }?.isHealthy == true)
    }
  }

  @Test func `a receiver that asks for time gets it, and one that wants no more is left alone`() throws {
    let post = Post { delivery, number, _ in
      if delivery.notice.id.place == 1 { return .refused("answered 410") }
      return number == 1 ? .failed("answered 503", after: .seconds(1000)) : .delivered
    }
    try Self.run(post) { bench, node in
      try await bench.wait(
        for: try await bench.submit(node) {
          $0.notify = [NoticeTarget(.webhook(Self.hook)), NoticeTarget(.webhook("https://gone.example/"))]
        })
      let notices = try await Self.settled(bench)
      let times = post.all.filter { $0.delivery.notice.id.place == 0 }.map(\.at)
      #expect(times.count == 2 && times[1] - times[0] >= .seconds(1000))
      #expect(notices.map(\.status).sorted { $0.rawValue < $1.rawValue } == [.dead, .delivered])
      #expect(post.all.count { $0.delivery.notice.id.place == 1 } == 1)
    }
  }

  @Test func `a receiver that never answers keeps no other waiting`() throws {
    let post = Post { delivery, _, clock in
      guard delivery.notice.destination == "https://slow.example" else { return .delivered }
      do { try await clock.sleep(for: .seconds(60)) } catch {}
      return .failed("no answer")
    }
    try Self.run(post) { bench, node in
      for _ in 1...200 {
        try await bench.submit(node) { $0.notify = [NoticeTarget(.webhook("https://slow.example/x"))] }
      }
      try await bench.clock.sleep(for: .seconds(20))
      for _ in 1...50 { try await bench.submit(node) { $0.notify = [NoticeTarget(.webhook(Self.hook))] } }
      try await bench.clock.sleep(for: .seconds(5))
      let fast = try await Self.notices(bench).filter { $0.destination == "https://hooks.example" }
      #expect(fast.count == 50 && fast.allSatisfy { $0.status == .delivered })
      #expect(post.most(at: "https://slow.example") <= 11)
      #expect(try await Self.notices(bench).contains { $0.status == .pending })
    }
  }

  @Test func `what a node had begun when it died is delivered by another, under the same id`() throws {
    let isStuck = Atomic(true)
    let post = Post { _, _, clock in
      while isStuck.load(ordering: .relaxed), !Task.isCancelled {
        do { try await clock.sleep(for: .seconds(1)) } catch {}
      }
      return .delivered
    }
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let options = Self.options(post)
      try await bench.withNode(process: 1, options: options) { first in
        try await bench.wait(for: try await bench.submit(first) { $0.notify = [NoticeTarget(.webhook(Self.hook))] })
        try await bench.clock.sleep(for: .seconds(2))
        #expect(post.all.map(\.process) == [1])
        first.crash()
        isStuck.store(false, ordering: .relaxed)
        try await bench.withNode(process: 2, options: options) { _ in
          let notice = try await Self.settled(bench)[0]
          #expect((notice.status, notice.attempts) == (.delivered, 2))
          #expect(post.all.map(\.process) == [1, 2])
          #expect(Set(post.all.map(\.delivery.notice.id)).count == 1)
        }
      }
    }
  }

  @Test func `a node that drains leaves what it is at to another at once`() throws {
    let post = Post { _, number, clock in
      if number == 1 {
        do { try await clock.sleep(for: .seconds(3600)) } catch { return .failed("cut short") }
      }
      return .delivered
    }
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let options = Self.options(post)
      try await bench.withNode(process: 1, options: options) { first in
        try await bench.wait(for: try await bench.submit(first) { $0.notify = [NoticeTarget(.webhook(Self.hook))] })
        try await bench.clock.sleep(for: .seconds(1))
      }
      #expect(try await Self.notices(bench).map(\.status) == [.pending])
      let start = bench.clock.now
      try await bench.withNode(process: 2, options: options) { _ in
        let statuses = try await Self.settled(bench).map(\.status)
        #expect(statuses == [.delivered])
        #expect(bench.clock.now - start < .seconds(10))
      }
    }
  }

  @Test func `a task that was retried before its notice got away is told of as it was`() throws {
    let isDown = Atomic(true)
    let post = Post { _, _, _ in isDown.load(ordering: .relaxed) ? .failed("answered 500") : .delivered }
    let fails = Atomic(true)
    try Self.run(
      post,
      handler: { _, context, _ in
        context.log("attempt \(context.attempt)")
        if fails.load(ordering: .relaxed) { throw TaskFailure.permanent("broken", type: "BROKEN") }
        return try .success(["fine": true])
      }
    ) { bench, node in
      let id = try await bench.submit(node) { $0.notify = [NoticeTarget(.webhook(Self.hook))] }
      try await bench.wait(for: id)
      fails.store(false, ordering: .relaxed)
      _ = try await node.engine.service.retry(id)
      try await bench.wait(for: id) { $0.status == .success }
      isDown.store(false, ordering: .relaxed)
      try await Self.settled(bench)
      let last = Dictionary(grouping: post.all, by: \.delivery.notice.id.sequence).sorted { $0.key < $1.key }
        .compactMap(\.value.last?.delivery)
      #expect(last.map(\.task.status) == [.dead, .success])
      #expect(last.map(\.task.reason) == [.nonRetryable, nil])
      #expect(last.map(\.task.attempt) == [1, 2])
      #expect(last[0].task.lastError?.type == "BROKEN" && last[0].task.result == nil)
      #expect(last[0].logs.allSatisfy { $0.hasSuffix("attempt 1") } && !last[0].logs.isEmpty)
      #expect(last[1].task.result == Array(#"{"fine":true}"#.utf8))
    }
  }

  @Test func `a lost answer of the store loses no notice`() throws {
    let post = Post { _, _, _ in .delivered }
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { operation, number in
        switch operation {
        case .takeNotices where number.isMultiple(of: 2): .after
        case .settleNotices where number.isMultiple(of: 3): .before
        default: nil
        }
      }
      try await bench.withNode(options: Self.options(post), store: store) { node in
        for _ in 1...20 {
          try await bench.submit(node) { $0.notify = [NoticeTarget(.webhook(Self.hook))] }
        }
        try await bench.clock.sleep(for: .seconds(60))
        let notices = try await Self.settled(bench)
        #expect(notices.count == 20 && notices.allSatisfy { $0.status == .delivered })
        #expect(store.calls(of: .settleNotices) > 0)
      }
    }
  }

  @Test func `where nobody is to be told of anything, tasks that move cost no look`() throws {
    let post = Post { _, _, _ in .delivered }
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { _, _ in nil }
      try await bench.withNode(options: Self.options(post), store: store) { node in
        for _ in 1...100 {
          try await bench.wait(for: try await bench.submit(node))
          try await bench.clock.sleep(for: .milliseconds(100))
        }
        #expect(store.calls(of: .takeNotices) <= 14)
      }
    }
  }

  @Test func `receivers are what the task names, or else its type, or else its queue, or else the installation`() throws
  {
    let post = Post { _, _, _ in .delivered }
    try Self.run(post) { bench, node in
      var patch = QueuePatch()
      patch.notify = .value([NoticeTarget(.email("queue@example.com"))])
      _ = try await node.engine.service.rules.change(queue: "default", patch, actor: "a")
      #expect(try await bench.record(try await bench.submit(node)).notify.map(\.text) == ["queue@example.com"])
      var settings = TypeSettings()
      settings.defaults.notify = [NoticeTarget(.email("type@example.com"))]
      _ = try await node.engine.service.rules.put(type: "test", settings, actor: "a")
      let plain = try await bench.submit(node)
      #expect(try await bench.record(plain).notify == settings.defaults.notify)
      let own = try await bench.submit(node) { $0.notify = [NoticeTarget(.email("own@example.com"))] }
      #expect(try await bench.record(own).notify.map(\.text) == ["own@example.com"])
      let nobody = try await bench.submit(node) { $0.notify = [] }
      #expect(try await bench.record(nobody).notify == [])
      let replay = try await node.engine.service.replay(try await bench.wait(for: own).id)
      #expect(replay.notify.map(\.text) == ["own@example.com"])
    }
  }
}
