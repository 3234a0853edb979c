// Group commit at the edges.

import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization
import Testing

@Suite struct CoalescerTests {
  @Test(arguments: 1...20)
  func `calls that arrive while one is in flight share the next, and each gets its own verdicts`(seed: Int) throws {
    try simulate(seed: UInt64(seed)) { scheduler in
      let clock = ProcessClock(scheduler: scheduler)
      let batches = Mutex<[Int]>([])
      let coalescer = Coalescer<Int, Int> { (items) throws(StoreError) in
        batches.withLock { $0.append(items.count) }
        try? await clock.sleep(for: .milliseconds(10))
        return items.map { $0 * 2 }
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for caller in 0..<50 {
          group.addTask {
            let verdicts = try await coalescer([caller, caller + 1000])
            #expect(verdicts == [caller * 2, (caller + 1000) * 2])
          }
        }
        try await group.waitForAll()
      }
      #expect(batches.withLock { $0.reduce(0, +) } == 100)
      #expect(batches.withLock { $0.count } <= 3, "the first alone or with few, then the rest together")
    }
  }

  @Test func `a call with nothing in flight goes at once`() throws {
    try simulate(seed: 1) { scheduler in
      let coalescer = Coalescer<Int, Int> { (items) throws(StoreError) in items }
      let verdicts = try await coalescer([1])
      #expect(verdicts == [1])
      #expect(scheduler.now == 0)
    }
  }

  @Test func `a failed batch fails for each of its callers and for no other`() throws {
    try simulate(seed: 1) { scheduler in
      let clock = ProcessClock(scheduler: scheduler)
      let calls = Mutex(0)
      let coalescer = Coalescer<Int, Int> { (items) throws(StoreError) in
        let call = calls.withLock { calls in
          calls += 1
          return calls
        }
        try? await clock.sleep(for: .milliseconds(10))
        if call == 1 { throw .unavailable("first") }
        return items
      }
      let results = await withTaskGroup(of: Bool.self) { group in
        for item in 0..<10 {
          group.addTask { await (try? coalescer([item])) == [item] }
        }
        return await group.reduce(into: [Bool]()) { $0.append($1) }
      }
      #expect(results.filter { !$0 }.count >= 1)
      #expect(results.filter { $0 }.count >= 1)
      let verdicts = try await coalescer([7])
      #expect(verdicts == [7], "it goes on")
    }
  }

  @Test func `a batch is not larger than its limit`() throws {
    try simulate(seed: 1) { scheduler in
      let clock = ProcessClock(scheduler: scheduler)
      let largest = Mutex(0)
      let coalescer = Coalescer<Int, Int>(largestBatch: 8) { (items) throws(StoreError) in
        largest.withLock { $0 = max($0, items.count) }
        try? await clock.sleep(for: .milliseconds(1))
        return items
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for item in 0..<100 { group.addTask { _ = try await coalescer([item]) } }
        try await group.waitForAll()
      }
      #expect(largest.withLock { $0 } == 8)
    }
  }
}
