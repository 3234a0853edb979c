// The handlers' own threads, for real: blocked ones must not keep the others waiting for ever.

import Foundation
import MartletEngine
import Testing

@Suite struct HandlerExecutorTests {
  @Test func `jobs run while as many as there are cores block, up to the limit of threads`() async {
    let executor = HandlerExecutor(maxThreads: 8)
    let gate = DispatchSemaphore(value: 0)
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<7 {
        group.addTask(executorPreference: executor) { Self.block(gate) }
      }
      // Ends only if a thread is free, or made.
      await withTaskGroup(of: Void.self) { free in
        for _ in 0..<20 { free.addTask(executorPreference: executor) {} }
      }
      for _ in 0..<7 { gate.signal() }
    }
    executor.shutdown()
  }

  @Test func `threads that blocked jobs had need of go again, once nothing blocks any more`() async throws {
    let executor = HandlerExecutor(maxThreads: 24)
    let gate = DispatchSemaphore(value: 0)
    let cores = ProcessInfo.processInfo.activeProcessorCount
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<23 { group.addTask(executorPreference: executor) { Self.block(gate) } }
      await withTaskGroup(of: Void.self) { free in
        for _ in 0..<20 { free.addTask(executorPreference: executor) {} }
      }
      #expect(executor.threads == 24)
      for _ in 0..<23 { gate.signal() }
    }
    // Work that does not block keeps none of them.
    while executor.threads > cores {
      await withTaskGroup(of: Void.self) { group in
        for _ in 0..<50 { group.addTask(executorPreference: executor) {} }
      }
      try await Task.sleep(for: .milliseconds(20))
    }
    executor.shutdown()
  }

  @Test func `every job of many tasks is run once`() async {
    let executor = HandlerExecutor(maxThreads: 4)
    let sum = await withTaskGroup(of: Int.self) { group in
      for index in 0..<10_000 {
        group.addTask(executorPreference: executor) {
          await Task.yield()
          return index
        }
      }
      return await group.reduce(0, +)
    }
    #expect(sum == 49_995_000)
    executor.shutdown()
  }

  private static func block(_ gate: DispatchSemaphore) {
    gate.wait()
  }
}
