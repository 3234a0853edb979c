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

  @Test(arguments: [1, 2, 4])
  func `as many calls are in flight as the store likes, and no more`(lanes: Int) throws {
    try simulate(seed: 1) { scheduler in
      let clock = ProcessClock(scheduler: scheduler)
      let inFlight = Mutex((now: 0, most: 0))
      let coalescer = Coalescer<Int, Int>(largestBatch: 8, lanes: lanes) { (items) throws(StoreError) in
        inFlight.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
        try? await clock.sleep(for: .milliseconds(10))
        inFlight.withLock { $0.now -= 1 }
        return items
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        for item in 0..<100 {
          group.addTask {
            let verdicts = try await coalescer([item])
            #expect(verdicts == [item])
          }
        }
        try await group.waitForAll()
      }
      #expect(inFlight.withLock { $0.most } == lanes)
    }
  }

  @Test(arguments: [(1, 2000), (2, 2000), (4, 20_000)])
  func `a store that is down keeps none for longer than two calls, however many wait`(lanes: Int, callers: Int) throws {
    try simulate(seed: 1) { scheduler in
      let clock = ProcessClock(scheduler: scheduler)
      let coalescer = Coalescer<Int, Int>(lanes: lanes) { (items) throws(StoreError) in
        try? await clock.sleep(for: .milliseconds(400))
        throw .unavailable("down")
      }
      let longest = await withTaskGroup(of: Duration.self) { group in
        for item in 0..<callers {
          group.addTask {
            // Some come later, in the middle of a call.
            try? await clock.sleep(for: .milliseconds(item % 7 * 100))
            let start = clock.now
            await #expect(throws: StoreError.unavailable("down")) { try await coalescer([item]) }
            return clock.now - start
          }
        }
        return await group.reduce(.zero) { max($0, $1) }
      }
      #expect(longest <= .milliseconds(800))
    }
  }

  @Test func `an unknown outcome is told to those whose items were sent, and to nobody else`() throws {
    try simulate(seed: 1) { scheduler in
      let clock = ProcessClock(scheduler: scheduler)
      let sent = Mutex<Set<Int>>([])
      let coalescer = Coalescer<Int, Int>(largestBatch: 4) { (items) throws(StoreError) in
        let isBroken = sent.withLock { sent in
          if sent.isEmpty || sent.count > 10 { return false }
          sent.formUnion(items)
          return true
        }
        sent.withLock { sent in if sent.isEmpty { sent.insert(-1) } }
        try? await clock.sleep(for: .milliseconds(10))
        if isBroken { throw .unknownOutcome("cut") }
        return items
      }
      let unknown = await withTaskGroup(of: Int?.self) { group in
        for item in 0..<40 {
          group.addTask {
            do throws(StoreError) {
              _ = try await coalescer([item])
              return nil
            } catch {
              #expect(error == .unknownOutcome("cut"))
              return item
            }
          }
        }
        return await group.reduce(into: Set<Int>()) { set, item in if let item { set.insert(item) } }
      }
      #expect(!unknown.isEmpty)
      #expect(unknown == sent.withLock { $0.subtracting([-1]) })
    }
  }
}
