// Settings that all nodes share: one revision after the other, each with all that are in force.

import MartletCore
import MartletTestKit
import Testing

@Suite struct SettingsTests {
  @Test(arguments: stores)
  func `a store that was never told of settings has no revision`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let latest = try await bench.store.settingsRevision(after: 0)
      let all = try await bench.store.settingsRevisions(before: nil, limit: 10)
      #expect(latest == nil && all == [])
    }
  }

  @Test(arguments: stores)
  func `each change makes the next revision with all overrides, and is answered as it is kept`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let first = try await bench.change(["tasks.maxRetries": "5", "log.level": #""debug""#])
      #expect(first.number == 1 && first.at == start && first.actor == "key:a")
      bench.advance(.seconds(3))
      let second = try await bench.change(["log.level": nil, "workers.queues": #"["a","ü"]"#])
      #expect(second.number == 2 && second.at == start + .seconds(3))
      #expect(second.changes == ["log.level": nil, "workers.queues": #"["a","ü"]"#])
      #expect(second.overrides == ["tasks.maxRetries": "5", "workers.queues": #"["a","ü"]"#])
      #expect(try await bench.store.settingsRevision(after: 0) == second)
      #expect(try await bench.store.settingsRevision(after: 1) == second)
      #expect(try await bench.store.settingsRevision(after: 2) == nil)
      #expect(try await bench.store.settingsRevision(after: .max) == nil)
      #expect(try await bench.store.settingsRevisions(before: nil, limit: 10) == [second, first])
      #expect(try await bench.store.settingsRevisions(before: nil, limit: 1) == [second])
      #expect(try await bench.store.settingsRevisions(before: 2, limit: 10) == [first])
      #expect(try await bench.store.settingsRevisions(before: 1, limit: 10) == [])
    }
  }

  @Test(arguments: stores)
  func `a change to what is not the latest revision changes nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let first = try await bench.change(["tasks.maxRetries": "5"])
      for base in [0, 2, 7] {
        let new = NewSettingsRevision(["tasks.maxRetries": "9"], to: [:], of: base, by: "key:b")
        #expect(try await bench.store.write(new) == .outdated)
      }
      #expect(try await bench.store.settingsRevision(after: 0) == first)
      #expect(try await bench.audit().count == 1)
    }
  }

  @Test(arguments: stores)
  func `of changes to one revision at once, one is written`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for base in 0..<5 {
        let verdicts = try await withThrowingTaskGroup(of: SettingsVerdict.self) { group in
          for number in 0..<20 {
            group.addTask { [store = bench.store] in
              try await store.write(
                NewSettingsRevision(["tasks.maxRetries": "\(number)"], to: [:], of: base, by: "key:\(number)"))
            }
          }
          return try await group.reduce(into: []) { $0.append($1) }
        }
        let written = verdicts.compactMap { verdict -> SettingsRevision? in
          if case .written(let revision) = verdict { revision } else { nil }
        }
        #expect(written.count == 1)
        #expect(try await bench.store.settingsRevision(after: 0) == written.first)
      }
      #expect(try await bench.audit().count == 5)
    }
  }

  @Test(arguments: stores)
  func `the same change again is answered as the first time, and writes nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let new = NewSettingsRevision(["tasks.maxRetries": "5"], to: [:], of: 0, by: "key:a")
      let first = try await bench.store.write(new)
      bench.advance(.seconds(1))
      #expect(try await bench.store.write(new) == first)
      try await bench.change(["tasks.maxRetries": "6"])
      #expect(try await bench.store.write(new) == first)
      #expect(try await bench.store.settingsRevision(after: 0)?.number == 2)
      #expect(try await bench.audit().count == 2)
    }
  }

  @Test(arguments: stores)
  func `each change is in the audit, with its values and what it brings back`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.change(["tasks.maxRetries": "5", "log.level": #""debug""#])
      let back = NewSettingsRevision(
        ["tasks.maxRetries": nil, "log.level": nil], to: [:], of: 1, by: "token:b", restored: 0)
      _ = try await bench.store.write(back)
      let entries = try await bench.audit()
      #expect(
        entries.map { "\($0.action.rawValue) \($0.target) by \($0.actor)" } == [
          "settings.update revision-2 by token:b", "settings.update revision-1 by key:a",
        ])
      #expect(
        entries.map(\.detail) == [
          #"{"restored":0,"changes":{"log.level":null,"tasks.maxRetries":null}}"#,
          #"{"changes":{"log.level":"debug","tasks.maxRetries":5}}"#,
        ])
    }
  }

  @Test(arguments: stores)
  func `the latest thousand revisions are kept`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for number in 0..<(SettingsRevision.kept + 3) {
        let new = NewSettingsRevision(["tasks.maxRetries": "\(number % 100)"], to: [:], of: number, by: "key:a")
        guard case .written = try await bench.store.write(new) else { throw BenchError.pageTooLong }
      }
      let all = try await bench.store.settingsRevisions(before: nil, limit: 1000)
      #expect(all.map(\.number) == (4...1003).reversed())
      #expect(try await bench.store.settingsRevisions(before: 4, limit: 1000) == [])
    }
  }

  @Test(arguments: stores.filter(\.isPersistent))
  func `revisions are still there after the store was closed and opened`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let revision = try await bench.change(["tasks.maxRetries": "5"])
      await bench.store.close()
      let again = try await store.make(bench.time, bench.directory)
      #expect(try await again.settingsRevision(after: 0) == revision)
      await again.close()
    }
  }
}

extension StoreBench {
  /// Changes the latest overrides.
  @discardableResult
  func change(_ changes: [String: String?], actor: String = "key:a") async throws -> SettingsRevision {
    let latest = try await store.settingsRevision(after: 0)
    let new = NewSettingsRevision(
      changes, to: latest?.overrides ?? [:], of: latest?.number ?? 0, by: actor)
    guard case .written(let revision) = try await store.write(new) else { throw BenchError.pageTooLong }
    return revision
  }
}
