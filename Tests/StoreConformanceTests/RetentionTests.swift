// G15 as a property: whatever the history and whatever the policy, what is protected stays, and what is past its time and not
// protected goes. What is protected is worked out here, from what everybody can read, and by no part of a store.

import Foundation
import MartletCore
import MartletTestKit
import Testing

@Suite struct RetentionTests {
  private static let steps = 60

  @Test(arguments: stores)
  func `retention takes all that is past its time and nothing that is protected, whatever the history`(
    store: StoreUnderTest
  ) async throws {
    var told: [String: Int] = [:]
    let seeds = store.name == "postgres" ? max(1, RandomHistoryTests.seeds / 4) : RandomHistoryTests.seeds / 2
    for seed in 1...seeds {
      try await store.onBench { bench in
        var history = RandomHistory(seed: seed)
        var random = SplitMix64(state: seed &* 7919)
        func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        if seed.isMultiple(of: 2) { _ = try await bench.store.attend(to: ["kafka"]) }
        for step in 1...Self.steps {
          let command = history.next(now: bench.now)
          _ = try await history.carryOut(command, on: bench, isModel: true)
          try await bench.admitAll()
          guard step % 6 == 0 else { continue }
          if below(2) == 0 { try await bench.deliverSome { below(2) == 0 } }
          let seconds = [0, 1, 20, 90, 600]
          func kept() -> Duration? { below(5) == 0 ? nil : .seconds(seconds[below(5)]) }
          let policy = RetentionPolicy(
            success: kept(), dead: kept(), cancelled: kept(), keys: .seconds([0, 30, 600][below(3)]))
          let before = try await bench.view()
          let judged = before.judged(policy, now: bench.now)
          for (_, protections) in judged {
            for protection in protections { told["\(protection)", default: 0] += 1 }
            if protections.isEmpty { told["free", default: 0] += 1 }
          }
          let expected = Set(judged.filter(\.value.isEmpty).map(\.key))

          var counts: [Set<Protection>: Int] = [:]
          var cursor: TaskID?
          repeat {
            let page = try await bench.store.sweep(policy, after: cursor, limit: 7, deletes: false)
            for count in page.counts { counts[count.protections, default: 0] += count.count }
            cursor = page.next
          } while cursor != nil
          let judgedCounts = Dictionary(judged.values.map { ($0, 1) }, uniquingKeysWith: +)
          #expect(counts == judgedCounts, "seed \(seed), step \(step): \(policy)")

          if below(2) == 0 {
            let limit = 1 + below(4)
            while try await bench.store.prune(policy, limit: limit) > 0 {}
          } else {
            var cursor: TaskID?
            repeat {
              cursor = try await bench.store.sweep(policy, after: cursor, limit: 3, deletes: true).next
            } while cursor != nil
          }
          let after = try await bench.view()
          let gone = Set(before.tasks.keys).subtracting(after.tasks.keys)
          #expect(gone == expected, "seed \(seed), step \(step): \(policy)")
          if gone != expected { return }
        }
        try await bench.bringToRest()
        bench.advance(.seconds(86_400))
        let none = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero, keys: .zero)
        while try await bench.store.prune(none, limit: 50) > 0 {}
        #expect(try await bench.view().tasks.isEmpty, "seed \(seed)")
        #expect(try await bench.store.counts() == [], "seed \(seed)")
      }
    }
    // Histories in which these never come about prove nothing; in a short look, as under a sanitizer, they may not.
    guard RandomHistoryTests.seeds >= 40 else { return }
    for name in Protection.allCases.map({ "\($0)" }) + ["free"] {
      #expect(told[name, default: 0] > 0, "\(name) never came about")
    }
  }
}

/// All that decides what retention may take, as everybody can read it.
private struct RetentionView {
  var tasks: [TaskID: TaskRecord]
  /// Whose idempotency key was taken when.
  var keys: [TaskID: Timestamp]
  var untold: Set<TaskID>
  var notices: Set<TaskID>

  /// Those that are past their time, with what keeps them.
  func judged(_ policy: RetentionPolicy, now: Timestamp) -> [TaskID: Set<Protection>] {
    let needed = Set(tasks.values.filter { !$0.status.isFinal }.flatMap(\.dependencies))
    var judged: [TaskID: Set<Protection>] = [:]
    for (id, task) in tasks {
      guard let finishedAt = task.finishedAt, let kept = kept(task.status, policy), finishedAt + kept <= now else {
        continue
      }
      var protections: Set<Protection> = []
      if needed.contains(id) { protections.insert(.dependants) }
      if let taken = keys[id], taken + policy.keys > now { protections.insert(.idempotencyKey) }
      if untold.contains(id) { protections.insert(.events) }
      if notices.contains(id) { protections.insert(.notices) }
      judged[id] = protections
    }
    return judged
  }

  private func kept(_ status: TaskStatus, _ policy: RetentionPolicy) -> Duration? {
    switch status {
    case .success: policy.success
    case .dead: policy.dead
    case .cancelled: policy.cancelled
    case .pending, .ready, .running, .retry: nil
    }
  }
}

extension StoreBench {
  fileprivate func view() async throws -> RetentionView {
    var query = TaskQuery()
    query.limit = 1000
    let tasks = Dictionary(uniqueKeysWithValues: try await listAll(query).map { ($0.id, $0) })
    var keys: [TaskID: Timestamp] = [:]
    for number in 0..<3 {
      query.idempotencyKey = "key-\(number)"
      // All of a key's tasks were stored when it was taken.
      for task in try await listAll(query) { keys[task.id] = task.createdAt }
    }
    let untold = try await untoldEntries().map(\.task)
    let notices = try await allNotices().filter { $0.status == .pending }.map(\.id.task)
    return RetentionView(tasks: tasks, keys: keys, untold: Set(untold), notices: Set(notices))
  }

  private func untoldEntries() async throws -> [OutboxEntry] {
    guard try await !store.sinks().isEmpty else { return [] }
    return try await store.takeEntries(for: "kafka", relay: "relay", limit: 100_000, hold: .seconds(3600)) ?? []
  }

  /// Some of what the outside has not heard.
  fileprivate func deliverSome(_ isHeard: () -> Bool) async throws {
    let entries = try await untoldEntries().filter { _ in isHeard() }
    if !entries.isEmpty {
      try await store.settleEntries(delivered: entries.map(\.number), putOff: [:], for: "kafka")
    }
    let request = NoticeRequest(limit: 1000, perDestination: 1000, hold: .zero)
    for notice in try await store.takeNotices(request).notices where isHeard() {
      try await store.settleNotices([.init(id: notice.id, attempt: notice.attempts, outcome: .delivered)])
    }
  }

  /// Every task final, and everything heard.
  fileprivate func bringToRest() async throws {
    while true {
      let restless = try await view().tasks.values.filter { !$0.status.isFinal }.map(\.id).sorted()
      if restless.isEmpty { break }
      for id in restless { try await steer(.cancel, id) }
      advance(.seconds(600))
      try await rescue()
      try await settleAll()
      try await promote()
    }
    while true {
      let view = try await view()
      if view.untold.isEmpty, view.notices.isEmpty { return }
      try await deliverSome { true }
      advance(.seconds(60))
    }
  }
}
