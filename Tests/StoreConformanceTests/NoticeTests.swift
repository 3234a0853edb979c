// Notices: that no ending of a task with `notify` is forgotten on any way, who gets which of them to deliver, and what becomes of them.

import MartletCore
import MartletTestKit
import Testing

@Suite struct NoticeTests {
  static let hook = NoticeTarget(.webhook("https://Hooks.example:8443/a?b=c#d"), on: [.success, .dead, .cancelled])
  static let mail = NoticeTarget(.email("ops@example.com"), on: [.dead])
  static let hold = Duration.seconds(90)

  static func task(_ number: Int = 1, _ targets: [NoticeTarget] = [hook, mail], retries: Int = 0) -> AcceptedTask {
    var task = AcceptedTask.stub(number, retries: retries)
    task.notify = targets
    return task
  }

  @Test(arguments: stores)
  func `who is to be told is kept with the task, and tasks without are told of to nobody`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.task(1), .stub(2))
      #expect(try await bench.record(.stub(1)).notify == [Self.hook, Self.mail])
      #expect(try await bench.record(.stub(2)).notify == [])
      #expect(try await bench.store.list(TaskQuery()).tasks.map(\.notify) == [[], [Self.hook, Self.mail]])
      for claimed in try await bench.claim(limit: 2) { try await bench.finish(claimed.lease, .success) }
      #expect(try await bench.allNotices().map(\.id.task) == [.stub(1)])
    }
  }

  @Test(arguments: stores)
  func `an ending leaves a notice for each receiver that hears of it, with how the task ended`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.task(1))
      let claimed = try await bench.claimOne()
      bench.advance(.seconds(2))
      try await bench.finish(claimed.lease, .failed)
      let record = try await bench.record()
      let notices = try await bench.allNotices()
      #expect(notices.map(\.id) == (0...1).map { NoticeID(task: .stub(1), sequence: record.sequence, place: $0) })
      let first = try #require(notices.first)
      #expect((first.channel, first.target) == (.webhook, Self.hook.text))
      #expect(first.destination == "https://hooks.example:8443")
      #expect((first.type, first.queue) == ("resize", "default"))
      #expect((first.taskStatus, first.reason) == (.dead, .retriesExhausted))
      #expect((first.attempt, first.maxAttempts, first.startedAt) == (1, 1, record.startedAt))
      #expect((first.status, first.attempts, first.mostAttempts) == (.pending, 0, NoticePatience.attempts))
      #expect((first.createdAt, first.updatedAt, first.nextAttemptAt) == (bench.now, bench.now, bench.now))
      #expect(first.lastError == nil)
      #expect((notices[1].channel, notices[1].target, notices[1].destination) == (.email, "ops@example.com", "email"))
      #expect(try await bench.store.notice(first.id) == (try await bench.store.notices(NoticeQuery()).notices.last))
      #expect(try await bench.store.notice(NoticeID(task: .stub(1), sequence: 1, place: 0)) == nil)
    }
  }

  @Test(arguments: stores)
  func `every way to an end is told of once: finish, rescue, cancel, expiry, cascade, bulk`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.task(1))
      try await bench.finish(try await bench.claimOne().lease, .success)
      try await bench.submit(Self.task(2))
      let lost = try await bench.claimOne()
      bench.advance(.seconds(31))
      try await bench.rescue()
      try await bench.finish(lost.lease, .success)  // too late
      try await bench.submit(Self.task(3))
      try await bench.steer(.cancel, .stub(3))
      try await bench.steer(.cancel, .stub(3))
      var expiring = Self.task(4)
      expiring.eligible = .after(.seconds(60))
      expiring.expiresAt = bench.now + .seconds(10)
      try await bench.submit(expiring)
      bench.advance(.seconds(10))
      try await bench.promote()
      var child = Self.task(6)
      (child.dependencies, child.onDependencyFailure) = ([.stub(5)], .cancel)
      try await bench.submit([Self.task(5), child])
      try await bench.finish(try await bench.claimOne().lease, .failed)
      var late = Self.task(7)
      (late.dependencies, late.onDependencyFailure) = ([.stub(5)], .cancel)
      try await bench.submit(late)
      try await bench.submit(Self.task(8), Self.task(9))
      let running = try await bench.claimOne()
      _ = try await bench.runBulk(.stub())
      try await bench.finish(running.lease, .failed)
      let told = try await bench.allNotices().filter { $0.channel == .webhook }
        .map { "\($0.id.task == .stub(1) ? 1 : 0) \($0.taskStatus.rawValue) \($0.reason?.rawValue ?? "")" }
      let ended = try await (1...9).asyncMap { try await bench.record(.stub($0)) }
      #expect(
        told
          == ended.map { "\($0.id == .stub(1) ? 1 : 0) \($0.status.rawValue) \($0.reason?.rawValue ?? "")" })
      #expect(
        ended.map(\.status)
          == [.success, .dead, .cancelled, .cancelled, .dead, .cancelled, .cancelled, .cancelled, .cancelled])
      #expect(try await bench.allNotices().filter { $0.channel == .email }.map(\.id.task) == [.stub(2), .stub(5)])
    }
  }

  @Test(arguments: stores)
  func `a task that is retried by hand is told of each time it ends`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.task(1, [Self.hook]))
      try await bench.finish(try await bench.claimOne().lease, .failed)
      try await bench.steer(.retry)
      try await bench.finish(try await bench.claimOne().lease, .success)
      let notices = try await bench.allNotices()
      #expect(notices.map(\.taskStatus) == [.dead, .success])
      #expect(notices.map(\.attempt) == [1, 2])
      #expect(Set(notices.map(\.id)).count == 2)
      let record = try await bench.record()
      let old = notices[0].asItEnded(record, attempt: try await bench.attempts()[0])
      #expect((old.status, old.reason, old.attempt) == (.dead, .retriesExhausted, 1))
      #expect((old.lastError, old.result, old.finishedAt) == (.stub, nil, notices[0].createdAt))
      #expect(notices[1].asItEnded(record, attempt: nil) == record)
    }
  }

  @Test(arguments: stores)
  func `what is submitted again leaves no second notice, and keeps its receivers`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.task(1, [Self.hook]))
      try await bench.submit(Self.task(1, [Self.mail]))
      #expect(try await bench.record().notify == [Self.hook])
      try await bench.finish(try await bench.claimOne().lease, .success)
      try await bench.submit(Self.task(1, [Self.hook, Self.hook]))
      #expect(try await bench.allNotices().count == 1)
    }
  }

  @Test(arguments: stores)
  func `a notice is taken by one, counted, and due again when nobody says what came of it`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.end(Self.task(1, [Self.hook]))
      let taken = try await bench.takeNotices()
      #expect(taken.map(\.attempts) == [1])
      #expect(taken.map(\.nextAttemptAt) == [bench.now + Self.hold])
      #expect(try await bench.takeNotices() == [])
      bench.advance(Self.hold - .milliseconds(1))
      #expect(try await bench.takeNotices() == [])
      bench.advance(.milliseconds(1))
      #expect(try await bench.takeNotices().map(\.attempts) == [2])
      try await bench.report(taken[0], .delivered)  // too late: another one has it
      #expect(try await bench.allNotices().map(\.status) == [.pending])
    }
  }

  @Test(arguments: stores)
  func `a delivered notice stays and is not taken again, one that failed waits, and the last failure ends it`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.end(Self.task(1, [Self.hook]))
      try await bench.end(Self.task(2, [Self.hook]))
      let taken = try await bench.takeNotices()
      try await bench.report(taken[0], .delivered)
      try await bench.report(taken[1], .failed("answered 500", pause: .seconds(5)))
      try await bench.report(taken[1], .dead("twice"))
      var notices = try await bench.allNotices()
      #expect(notices.map(\.status) == [.delivered, .pending])
      #expect(notices.map(\.nextAttemptAt) == [nil, bench.now + .seconds(5)])
      #expect(notices.map(\.lastError) == [nil, "answered 500"])
      for attempt in 2...NoticePatience.attempts {
        #expect(try await bench.takeNotices() == [])
        bench.advance(.seconds(5))
        let again = try await bench.takeNotices()
        #expect(again.map(\.attempts) == [attempt])
        try await bench.report(try #require(again.first), .failed("a\u{0}b", pause: .seconds(5)))
      }
      notices = try await bench.allNotices()
      #expect(notices[1].status == .dead && notices[1].nextAttemptAt == nil && notices[1].lastError == "a\u{0}b")
      bench.advance(.seconds(3600))
      #expect(try await bench.takeNotices() == [])
    }
  }

  @Test(arguments: stores)
  func `one that nobody wants is given up at once`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.end(Self.task(1, [Self.hook]))
      try await bench.report(try await bench.takeNotices()[0], .dead("answered 410"))
      let notice = try #require(try await bench.allNotices().first)
      #expect((notice.status, notice.lastError, notice.attempts) == (.dead, "answered 410", 1))
    }
  }

  @Test(arguments: stores)
  func `however much waits for one destination, others get their turn, and none more than its share`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let slow = NoticeTarget(.webhook("http://slow.example/x"))
      for number in 1...20 { try await bench.end(Self.task(number, [slow])) }
      bench.advance(.seconds(1))
      try await bench.end(Self.task(21, [NoticeTarget(.webhook("http://zebra.example/x")), Self.mail]), .failed)
      let first = try await bench.takeNotices(perDestination: 3)
      #expect(
        first.map(\.destination).sorted()
          == ["email"] + Array(repeating: "http://slow.example", count: 3) + ["http://zebra.example"])
      #expect(first.filter { $0.destination == "http://slow.example" }.map(\.id.task) == (1...3).map { .stub($0) })
      #expect(try await bench.takeNotices(without: ["http://slow.example"]) == [])
      #expect(try await bench.takeNotices(channels: [.email]) == [])
      #expect(try await bench.takeNotices(limit: 5).count == 5)
      let turn = try await bench.store.takeNotices(
        NoticeRequest(limit: 100, perDestination: 100, after: "http://slow.example", hold: Self.hold))
      #expect(turn.notices == [] && turn.next == nil)
    }
  }

  @Test(arguments: stores)
  func `a node without mail leaves mails to others`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.end(Self.task(1), .failed)
      #expect(try await bench.takeNotices(channels: [.webhook]).map(\.channel) == [.webhook])
      #expect(try await bench.takeNotices(channels: [.webhook]) == [])
      #expect(try await bench.takeNotices().map(\.channel) == [.email])
    }
  }

  @Test(arguments: stores)
  func `sent again it is due at once with a fresh budget, and the audit tells who wanted it`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.end(Self.task(1, [Self.hook]))
      let taken = try await bench.takeNotices()
      let id = taken[0].id
      #expect(try await bench.store.resend(notice: id, actor: "key:a")?.nextAttemptAt == bench.now + Self.hold)
      #expect(try await bench.audit().filter { $0.action == .resendNotice } == [], "it is being delivered")
      try await bench.report(taken[0], .dead("answered 410"))
      bench.advance(.seconds(10))
      let again = try #require(try await bench.store.resend(notice: id, actor: "key:a"))
      #expect((again.status, again.attempts, again.nextAttemptAt) == (.pending, 1, bench.now))
      #expect(again.mostAttempts == 1 + NoticePatience.attempts)
      let entry = try #require(try await bench.audit().first { $0.action == .resendNotice })
      #expect((entry.target, entry.actor) == (id.description, "key:a"))
      try await bench.report(try await bench.takeNotices()[0], .delivered)
      #expect(try await bench.store.resend(notice: id, actor: "key:a")?.status == .pending)
      #expect(try await bench.store.resend(notice: NoticeID(task: .stub(9), sequence: 1, place: 0), actor: "a") == nil)
    }
  }

  @Test(arguments: stores)
  func `lists have the latest first, page by page, by task, by status and by what a caller may see`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      for number in 1...5 {
        var task = Self.task(number, [Self.hook])
        if number == 5 { task.queue = "mail_out" }
        try await bench.submit(task)
        let claimed = try await bench.claim(queues: [task.queue])
        try await bench.finish(claimed[0].lease, .success)
      }
      try await bench.report(try await bench.takeNotices(limit: 1)[0], .delivered)
      var query = NoticeQuery()
      query.limit = 2
      var seen: [TaskID] = []
      repeat {
        let page = try await bench.store.notices(query)
        seen += page.notices.map(\.id.task)
        query.before = page.next
      } while query.before != nil
      #expect(seen == [5, 4, 3, 2, 1].map { .stub($0) })
      func list(_ change: (inout NoticeQuery) -> Void) async throws -> [TaskID] {
        var query = NoticeQuery()
        change(&query)
        return try await bench.store.notices(query).notices.map(\.id.task)
      }
      #expect(try await list { $0.task = .stub(3) } == [.stub(3)])
      #expect(try await list { $0.statuses = [.delivered] } == [.stub(1)])
      #expect(try await list { $0.statuses = [.delivered, .dead] } == [.stub(1)])
      #expect(try await list { $0.scope = [QueuePattern("mail*")!] } == [.stub(5)])
      #expect(try await list { $0.scope = [] } == [])
      #expect(try await list { ($0.task, $0.statuses) = (.stub(3), [.dead]) } == [])
    }
  }

  @Test(arguments: stores)
  func `neither retention nor a purge removes a task while somebody is still to be told of it`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.end(Self.task(1, [Self.hook]), .failed)
      try await bench.end(Self.task(2, [Self.hook]), .success)
      bench.advance(.seconds(3600))
      let policy = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero, keys: .zero)
      #expect(try await bench.store.prune(policy, limit: 10) == 0)
      let purge = try await bench.runBulk(.stub(1, .purge)).job
      #expect((purge.changed, purge.failed) == (0, 1))
      for notice in try await bench.takeNotices() {
        try await bench.report(notice, notice.id.task == .stub(1) ? .dead("no") : .delivered)
      }
      #expect(try await bench.store.prune(policy, limit: 10) == 2)
      #expect(try await bench.allNotices() == [], "notices go with their tasks")
    }
  }

  @Test(arguments: stores)
  func `a notice that nobody could send for three days is given up, and counted until then`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      #expect(try await bench.store.waitingNotices() == WaitingNotices(count: 0, oldest: nil))
      let ended = bench.now
      try await bench.end(Self.task(1, [Self.hook, Self.mail]), .failed)
      #expect(try await bench.store.waitingNotices() == WaitingNotices(count: 2, oldest: ended))
      bench.advance(NoticePatience.longest - .milliseconds(1))
      #expect(try await bench.store.abandonNotices(limit: 10) == 0)
      bench.advance(.milliseconds(1))
      let taken = try await bench.takeNotices(channels: [.webhook])
      #expect(try await bench.store.abandonNotices(limit: 10) == 1, "one is being delivered")
      #expect(try await bench.allNotices().map(\.status) == [.pending, .dead])
      #expect(try await bench.allNotices()[1].lastError == NoticePatience.nobody)
      try await bench.report(taken[0], .failed("answered 500", pause: .seconds(3600)))
      #expect(try await bench.store.abandonNotices(limit: 10) == 1)
      #expect(try await bench.allNotices()[0].lastError == "answered 500")
      _ = try await bench.store.resend(notice: taken[0].id, actor: "a")
      #expect(try await bench.store.abandonNotices(limit: 10) == 0, "sent again, it has its time again")
    }
  }

  @Test(arguments: stores)
  func `a queue keeps whom to tell, nobody among them, until it is taken away`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for targets in [[Self.hook, Self.mail], []] {
        let set = try await bench.set { $0.notify = .value(targets) }
        let other = try await bench.set { $0.maxDepth = .value(5) }
        let read = try await bench.store.queueSettings()["default"]
        #expect([set.notify, other.notify, read?.notify] == [targets, targets, targets])
      }
      let audit = try await bench.audit { $0.action = .updateQueue }
      #expect(audit.last?.detail?.contains("Hooks.example") == true)
      let gone = try await bench.set { $0.notify = .none }
      #expect(gone.notify == nil)
    }
  }

  @Test(arguments: stores)
  func `tasks of schedules are told of too`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      var task = NewTask(type: "resize")
      task.notify = [Self.hook]
      _ = try await bench.written(.stub(task: task))
      #expect(try await bench.schedule().schedule.task.notify == [Self.hook])
      #expect(try await bench.advance(bench.schedule().step(at: start)) == [.moved])
      bench.advance(.seconds(62))
      #expect(try await bench.advance(bench.schedule().step(1, at: bench.now)) == [.made(at: bench.now)])
      #expect(try await bench.record().notify == [Self.hook])
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.allNotices().map(\.target) == [Self.hook.text])
    }
  }

  @Test(arguments: stores.filter(\.isPersistent))
  func `what was not delivered is there when the store is opened again, and later endings are told`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.end(Self.task(1, [Self.hook]))
      try await bench.submit(Self.task(2, [Self.hook]))
      await bench.store.close()
      let again = StoreBench(
        store: try await store.make(bench.time, bench.directory), time: bench.time, directory: bench.directory)
      #expect(try await again.takeNotices().map(\.id.task) == [.stub(1)])
      bench.advance(.seconds(60))
      try await again.rescue()
      try await again.finish(try await again.claimOne().lease, .success)
      #expect(try await again.allNotices().map(\.id.task) == [.stub(1), .stub(2)])
      await again.store.close()
    }
  }
}

extension StoreBench {
  /// Submits it and brings it to its end.
  fileprivate func end(_ task: AcceptedTask, _ outcome: Outcome = .success) async throws {
    try await finish(try await running(task).lease, outcome)
  }

  fileprivate func takeNotices(
    channels: Set<NoticeChannel> = Set(NoticeChannel.allCases), limit: Int = 100, perDestination: Int = 100,
    without: Set<String> = []
  ) async throws -> [NoticeRecord] {
    try await store.takeNotices(
      NoticeRequest(
        channels: channels, limit: limit, perDestination: perDestination, without: without, hold: NoticeTests.hold)
    ).notices.sorted { $0.number < $1.number }
  }

  fileprivate func report(_ notice: NoticeRecord, _ outcome: NoticeReport.Outcome) async throws {
    try await store.settleNotices([NoticeReport(id: notice.id, attempt: notice.attempts, outcome: outcome)])
  }

  /// In the order of their ids, without the numbers, which are each store's own.
  func allNotices() async throws -> [NoticeRecord] {
    var query = NoticeQuery()
    query.limit = 1000
    return try await store.notices(query).notices
      .map { notice in
        var notice = notice
        notice.number = 0
        return notice
      }
      .sorted { ($0.id.task, $0.id.sequence, $0.id.place) < ($1.id.task, $1.id.sequence, $1.id.place) }
  }
}

extension Sequence {
  fileprivate func asyncMap<Value>(_ body: (Element) async throws -> Value) async throws -> [Value] {
    var values: [Value] = []
    for element in self { values.append(try await body(element)) }
    return values
  }
}
