// How often and how far a claim looks, and what a node looks for no more.

import MartletCore
import MartletTestKit
import PostgresServer
import Testing

@testable import MartletPostgres

@Suite(.timeLimit(.minutes(10))) struct ClaimLookTests {
  @Test(arguments: [false, true])
  func `a claim clears away so many expired tasks and no more, and tells that there may be others`(
    isLimited: Bool
  ) async throws {
    try await Nodes.run(1) { nodes in
      let (node, heard) = (nodes[0], Hints())
      node.listen { heard.hear($0) }
      if isLimited { try await node.set { $0.concurrency = .value(50) } }
      _ = try await node.submit([
        Submission((1...100).map { .stub($0, priority: 9, expiresAt: .earliest) } + [.stub(101)])
      ])
      let hint = StoreHint.work([Lane(queue: "default", type: "resize")])
      for expired in [32, 64, 96] as [Int64] {
        heard.forget()
        #expect(try await node.claimStub(limit: 1) == [])
        #expect(heard.heard.contains(hint))
        #expect(try await node.number("SELECT count(*) FROM task_runs WHERE status = 7") == expired)
      }
      heard.forget()
      #expect(try await node.claimStub(limit: 1).map(\.id) == [.stub(101)])
      #expect(!heard.heard.contains(hint))
    }
  }

  @Test func `a node that finds several lanes empty asks no more until it is told of something`() async throws {
    var options = try await Nodes.options()
    options.connections = 1
    let node = try await PostgresStore.open(options)
    let types = ["resize", "other"]
    _ = try await node.submit([Submission([.stub(1), .stub(2, priority: 9), .stub(3, type: "other")])])
    #expect(try await node.claimStub(limit: 10, types: types).count == 3)
    let session = try #require(try await node.pool.int("SELECT pg_backend_pid()"))
    func lastWord() async throws -> [[String]] {
      try await PostgresServer.shared.query("SELECT state_change FROM pg_stat_activity WHERE pid = \(session)")
    }
    // Once a second it looks everywhere, and what was submitted is still to be told to other nodes.
    var isSilent = false
    for _ in 0..<50 where !isSilent {
      let before = try await lastWord()
      #expect(try await node.claimStub(limit: 10, types: types) == [])
      let after = try await lastWord()
      isSilent = after == before
    }
    #expect(isSilent)
    try await node.submitStub(.stub(4, type: "other"))
    #expect(try await node.claimStub(limit: 10, types: types).map(\.id) == [.stub(4)])
    await node.close()
  }

  @Test func `what was passed by while its queue was paused is found as soon as it is not`() async throws {
    try await Nodes.run(1) { nodes in
      let (node, types) = (nodes[0], ["resize", "other"])
      _ = try await node.submit([Submission([.stub(1), .stub(2, priority: 9), .stub(3, type: "other")])])
      try await node.set { $0.isPaused = true }
      for _ in 1...3 { #expect(try await node.claimStub(limit: 10, types: types) == []) }
      try await node.set { $0.isPaused = false }
      #expect(try await node.claimStub(limit: 10, types: types).count == 3)
    }
  }

  @Test func `what a node knows of its database it forgets once a connection has broken, though it had made but one`()
    async throws
  {
    var options = try await Nodes.options()
    options.connections = 8
    let node = try await PostgresStore.open(options)
    func task(_ number: Int) -> AcceptedTask {
      var task = AcceptedTask.stub(number)
      task.notify = [NoticeTarget(.webhook("https://example.com/\(number)"), on: [.success])]
      return task
    }
    try await node.submitStub(task(1))
    #expect(node.noticeSwitch.isKnownToBeOn && node.book.number(of: LaneKey(task(1))) != nil)
    // So is a standby that has taken over before it heard of it.
    _ = try await PostgresServer.shared.query(
      "ALTER TABLE \(node.schema).task_runs DISABLE TRIGGER task_runs_notices")
    let session = try #require(try await node.pool.int("SELECT pg_backend_pid()"))
    _ = try await PostgresServer.shared.query("SELECT pg_terminate_backend(\(session), 10000)")
    // Other connections, if there are any, may be used before that one.
    try await eventually {
      try await node.check()
      return !node.noticeSwitch.isKnownToBeOn
    }
    #expect(node.book.number(of: LaneKey(task(1))) == nil)
    try await node.submitStub(task(2))
    let finishes = try await node.claimStub().map { Finish(lease: $0.lease, outcome: .success, randomness: 0) }
    #expect(finishes.count == 2)
    _ = try await node.finish(finishes)
    #expect(try await node.number("SELECT count(*) FROM notices") == 2)
    await node.close()
  }
}
