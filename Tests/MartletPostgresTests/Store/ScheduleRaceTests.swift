// Schedules that several nodes come to at the same instant, and what nodes hear of them.

import MartletCore
import MartletPostgres
import MartletTestKit
import Testing

@Suite struct ScheduleRaceTests {
  private static func schedule(overlap: Schedule.Overlap = .allow) -> Schedule {
    Schedule(
      name: "s", recurrence: .every(milliseconds: 1), misfire: .fireOnce, overlap: overlap, paused: false,
      task: NewTask(type: "resize"))
  }

  private static func put(
    _ schedule: Schedule, _ revision: Int64, over expected: Int64? = nil, on node: PostgresStore
  ) async throws -> ScheduleVerdict {
    try await node.putSchedule(ScheduleChange(schedule, revision: revision, expected: expected, actor: "test"))
  }

  private static func step(_ record: ScheduleRecord, _ number: Int, now: Timestamp) -> ScheduleStep {
    record.step(now: now, zones: .system) { (task) throws(ValidationFailure) in
      try task.accepted(id: .stub(number), defaults: TaskDefaults(), now: now)
    }
  }

  @Test func `of two nodes that come to each tick at once one makes its task`() async throws {
    try await Nodes.run(2) { nodes in
      _ = try await Self.put(Self.schedule(), 1, on: nodes[0])
      let rounds = 200
      let made = try await withThrowingTaskGroup(of: Int.self) { group in
        for worker in 0..<8 {
          group.addTask {
            var made = 0
            for round in 0..<rounds {
              let due = try await nodes[worker % 2].dueSchedules(limit: 10)
              let steps = due.schedules.map { Self.step($0, 1 + worker + round * 8, now: due.now) }
              let verdicts = try await nodes[worker % 2].advanceSchedules(steps)
              made += verdicts.count { if case .made = $0 { true } else { false } }
            }
            return made
          }
        }
        return try await group.reduce(0, +)
      }
      var query = TaskQuery()
      query.scheduleName = "s"
      query.limit = 1000
      var ticks: [Timestamp] = []
      while true {
        let page = try await nodes[1].list(query)
        ticks += page.tasks.compactMap(\.runAt)
        guard let next = page.next else { break }
        query.before = next
      }
      #expect(made > 50)
      #expect(ticks.count == made)
      #expect(Set(ticks).count == made)
    }
  }

  @Test
  func `a tick with overlap SKIP and a task by hand at the same instant leave one that is not final, or two in turn`()
    async throws
  {
    try await Nodes.run(2) { nodes in
      guard case .done(var record) = try await Self.put(Self.schedule(overlap: .skip), 1, on: nodes[0]) else {
        Issue.record("not written")
        return
      }
      var overlapped = 0
      for round in 0..<100 {
        var byHand = AcceptedTask.stub(round * 2 + 2)
        byHand.scheduleName = "s"
        let trigger = ScheduleStep(name: "s", revision: 1, move: nil, task: byHand, actor: "test")
        let tick = Self.step(record, round * 2 + 1, now: try await nodes[0].now() + .milliseconds(2))
        async let first = nodes[0].advanceSchedules([tick])
        async let second = nodes[1].advanceSchedules([trigger])
        let (one, two) = try await (first[0], second[0])
        guard case .made = two else {
          Issue.record("\(two)")
          return
        }
        record = try #require(try await nodes[1].schedule("s"))
        if one == .passed {
          overlapped += 1
          #expect(record.lastTask == .stub(round * 2 + 2))
        } else {
          #expect(record.lastTask == .stub(round * 2 + 2))
        }
        for id in [TaskID.stub(round * 2 + 1), .stub(round * 2 + 2)] {
          _ = try await nodes[0].steer([Steering(.cancel, task: id, actor: "test")])
        }
      }
      #expect(overlapped > 0, "the tick was always first")
    }
  }

  @Test func `changes at the same instant follow each other, and none is lost to a tick`() async throws {
    try await Nodes.run(2) { nodes in
      _ = try await Self.put(Self.schedule(), 1, on: nodes[0])
      let done = try await withThrowingTaskGroup(of: Int.self) { group in
        for worker in 0..<2 {
          group.addTask {
            var done = 0
            for round in 0..<100 {
              guard let record = try await nodes[worker].schedule("s") else { continue }
              let verdict = try await Self.put(
                Self.schedule(), Int64(10 + worker + round * 2), over: record.revision, on: nodes[worker])
              if verdict != .conflict { done += 1 }
            }
            return done
          }
        }
        group.addTask {
          for round in 0..<100 {
            let due = try await nodes[0].dueSchedules(limit: 1)
            _ = try await nodes[0].advanceSchedules(due.schedules.map { Self.step($0, round + 1, now: due.now) })
          }
          return 0
        }
        return try await group.reduce(0, +)
      }
      var query = AuditQuery()
      query.target = "s"
      query.limit = 1000
      #expect(try await nodes[1].audit(query).entries.count == done + 1)
    }
  }

  @Test func `a node hears of schedules written on another, and of the work that their ticks make`() async throws {
    try await Nodes.run(2) { nodes in
      let others = Hints()
      nodes[1].listen { others.hear($0) }
      var number: Int64 = 0
      while !others.heard.contains(.schedules) {
        number += 1
        _ = try await Self.put(Self.schedule(), number, over: number > 1 ? number - 1 : nil, on: nodes[0])
        try await Task.sleep(for: .milliseconds(20))
      }
      _ = try await nodes[1].claimStub()
      let isWork: (StoreHint) -> Bool = { if case .workElsewhere = $0 { true } else { $0 == .anyWork } }
      while !others.heard.contains(where: isWork) {
        let due = try await nodes[0].dueSchedules(limit: 1)
        number += 1
        _ = try await nodes[0].advanceSchedules(due.schedules.map { Self.step($0, Int(number), now: due.now) })
        try await Task.sleep(for: .milliseconds(20))
      }
      #expect(try await !nodes[1].claimStub(limit: 1).isEmpty)
    }
  }
}
