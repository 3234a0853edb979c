// The harness of every test that runs on many stores: how to open one, and how to leave nothing of it behind.

internal import Foundation
package import MartletCore

/// A kind of store, for `@Test(arguments:)`.
package struct StoreUnderTest: Sendable, CustomStringConvertible {
  package var name: String
  /// True if what was written is still there when `make` is called again with the same directory.
  package var isPersistent: Bool
  /// Opens one. `directory` is empty at first and the test's own.
  package var make: @Sendable (_ time: ManualTime, _ directory: String) async throws -> any TaskStore

  package init(
    name: String, isPersistent: Bool,
    make: @escaping @Sendable (_ time: ManualTime, _ directory: String) async throws -> any TaskStore
  ) {
    self.name = name
    self.isPersistent = isPersistent
    self.make = make
  }

  package static let memory = StoreUnderTest(name: "memory", isPersistent: false) { time, _ in
    MemoryStore(clock: time.clock)
  }

  package var description: String { name }

  /// Opens a fresh store, hands it to `body`, closes it and leaves nothing behind.
  package func onBench(_ body: (StoreBench) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory.appending(path: "martlet-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let time = ManualTime()
    let store = try await make(time, directory.path)
    let bench = StoreBench(store: store, time: time, directory: directory.path)
    do {
      try await body(bench)
    } catch {
      await store.close()
      throw error
    }
    await store.close()
  }
}
