// What must survive a restart, for the stores that keep anything; and that repeating a call is harmless when its answer was
// lost, for all of them.

import MartletCore
import MartletTestKit
import Synchronization
import Testing

@Suite struct DurabilityTests {
  @Test(arguments: stores.filter(\.isPersistent))
  func `what was answered is there when the store is opened again`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for status in TaskStatus.allCases where status != .ready {
        try await bench.bring(.stub(status.number), to: status)
      }
      try await bench.submit(.stub(99, payload: "[\"é\"]", tags: ["t"], metadata: ["k": "v"]))
      _ = try await bench.verdicts([waiting(97)])
      let before = try await bench.snapshot()
      await bench.store.close()
      let again = try await store.make(bench.time, bench.directory)
      let reopened = StoreBench(store: again, time: bench.time, directory: bench.directory)
      #expect(try await reopened.snapshot() == before)
      // Leases of workers elsewhere stand; what stands under them can be reported.
      let lease = LeaseID(task: .stub(TaskStatus.running.number), attempt: 1, token: 7)
      #expect(try await reopened.finish(lease, .success) == .applied(.success))
      #expect(try await reopened.record(.stub(97)).status == .ready)
      #expect(try await reopened.verdicts([waiting(98)]) == [.replayed(at: start, earlier: [0: .stub(97)])])
      await again.close()
    }
  }

  @Test(arguments: stores)
  func `a call that failed before its commit has changed nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let (faulty, switchOn) = faultyBench(bench, .before)
      let claimed = try await bench.running(.stub(1))
      try await bench.submit(.stub(2))
      let before = try await bench.snapshot()
      switchOn()
      for call in writes(faulty, claimed.lease) {
        let error = await #expect(throws: StoreError.self) { try await call() }
        guard case .unavailable = error else {
          Issue.record("throws \(String(describing: error))")
          continue
        }
      }
      #expect(try await bench.snapshot() == before)
    }
  }

  @Test(arguments: stores)
  func `a call repeated because its answer was lost does nothing twice`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let (faulty, switchOn) = faultyBench(bench, .after)
      let claimed = try await bench.running(.stub(1))
      switchOn()
      for call in writes(faulty, claimed.lease) {
        let error = await #expect(throws: StoreError.self) { try await call() }
        guard case .unknownOutcome = error else {
          Issue.record("throws \(String(describing: error))")
          continue
        }
        let once = try await bench.snapshot()
        _ = await #expect(throws: StoreError.self) { try await call() }
        #expect(try await bench.snapshot() == once)
      }
      #expect(try await bench.record(.stub(1)).status == .cancelled)
      #expect(try await bench.record(.stub(3)).status == .ready)
    }
  }

  /// A task with a key that waits for the running one.
  private func waiting(_ number: Int) -> Submission {
    var task = AcceptedTask.stub(number)
    task.dependencies = [.stub(TaskStatus.running.number)]
    task.graph = .joinsFirstDependency(orElse: .stub(100))
    task.idempotencyKey = "key"
    let key = IdempotencyKey("key", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0])
    return Submission([task], keys: [key])
  }

  /// Calls that are made again by whoever does not hear their answer.
  private func writes(_ bench: StoreBench, _ lease: LeaseID) -> [() async throws -> Void] {
    [
      { try await bench.submit(.stub(3)) },
      { _ = try await bench.verdicts([waiting(4)]) },
      { _ = try await bench.steer(.cancel, .stub(1)) },
      { _ = try await bench.renew(lease, progress: Progress(percent: 1, message: nil)) },
      { _ = try await bench.finish(lease, .failed) },
      { _ = try await bench.promote() },
      { _ = try await bench.rescue() },
      { _ = try await bench.store.settle(limit: 100) },
      { _ = try await bench.store.prune(PruneTests.all, limit: 1) },
    ]
  }

  /// The same store behind one that fails every call from the moment it is switched on.
  private func faultyBench(_ bench: StoreBench, _ fault: Fault) -> (StoreBench, switchOn: @Sendable () -> Void) {
    let isOn = Flag()
    let faulty = FaultyStore(bench.store) { _, _ in isOn.isSet ? fault : nil }
    return (StoreBench(store: faulty, time: bench.time, directory: bench.directory), { isOn.set() })
  }
}

private final class Flag: Sendable {
  private let value = Mutex(false)

  var isSet: Bool { value.withLock { $0 } }

  func set() { value.withLock { $0 = true } }
}
