// What a caller is told whose call was tried more than once, or committed in part; and that a submission is written as a whole or not at
// all.

import MartletCore
import MartletTestKit
import PostgresServer
import Testing

@testable import MartletPostgres

@Suite(.timeLimit(.minutes(10))) struct RepetitionTests {
  private static let ends: [any Error] = [
    PostgresFailure.refused(sqlState: "53100", message: "no room"),
    PostgresFailure.refused(sqlState: "25006", message: "a standby"), StoreError.unusable("no"),
    StoreError.unavailable("not now"), UnreadableRow(what: "a row"), CancellationError(),
  ]

  private func isUnknown(_ error: StoreError?) -> Bool {
    if case .unknownOutcome? = error { true } else { false }
  }

  @Test func `however its repetition ends, the outcome of a call of which the answer was lost stays unknown`()
    async throws
  {
    try await Nodes.run(1) { nodes in
      for end in Self.ends {
        let error = await #expect(throws: StoreError.self) {
          _ = try await nodes[0].repeating { (isRepetition: Bool) -> Int in
            if !isRepetition { throw PostgresFailure.lost("the connection broke") }
            throw end
          }
        }
        #expect(isUnknown(error), "\(end)")
      }
    }
  }

  @Test func `a call that has failed at its first try has changed nothing, and says so`() async throws {
    try await Nodes.run(1) { nodes in
      for end in Self.ends {
        let error = await #expect(throws: StoreError.self) {
          _ = try await nodes[0].repeating { (_: Bool) -> Int in throw end }
        }
        #expect(error != nil && !isUnknown(error), "\(end)")
      }
    }
  }

  // MARK: In parts

  /// The second has its turn when the first is committed.
  private static func inTwoParts() -> [Submission] {
    var child = AcceptedTask.stub(2)
    child.dependencies = [.stub(1)]
    return [Submission([.stub(1)]), Submission([child])]
  }

  /// Refuses task 2 so often, then no more.
  private func refuse(_ state: String, times: Int, _ node: PostgresStore) async throws {
    _ = try await PostgresServer.shared.query(
      """
      SET search_path = \(node.schema); CREATE SEQUENCE tries;
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF nextval('tries') <= \(times) THEN RAISE EXCEPTION 'no' USING ERRCODE = '\(state)'; END IF;
        RETURN NEW;
      END $$;
      CREATE TRIGGER refusal BEFORE INSERT ON task_bodies FOR EACH ROW WHEN (NEW.id = '\(TaskID.stub(2))')
        EXECUTE FUNCTION refuse()
      """)
  }

  @Test func `a call of which a part was committed never says that nothing was`() async throws {
    try await Nodes.run(1) { nodes in
      try await refuse("53100", times: 1000, nodes[0])
      let submissions = Self.inTwoParts()
      let error = await #expect(throws: StoreError.self) { _ = try await nodes[0].submit(submissions) }
      #expect(isUnknown(error))
      #expect(try await nodes[0].status(of: .stub(1)) == .ready)
      #expect(try await nodes[0].status(of: .stub(2)) == nil)
    }
  }

  @Test func `a conflict behind a part that was committed is tried again`() async throws {
    try await Nodes.run(1) { nodes in
      try await refuse("40001", times: 3, nodes[0])
      let verdicts = try await nodes[0].submit(Self.inTwoParts())
      #expect(verdicts.count == 2)
      for verdict in verdicts {
        if case .accepted = verdict { continue }
        Issue.record("\(verdict)")
      }
      #expect(try await nodes[0].status(of: .stub(2)) == .pending)
    }
  }

  // MARK: As a whole

  @Test func `a submission that fails at any of its rows leaves nothing behind`() async throws {
    try await Nodes.run(1) { nodes in
      let node = nodes[0]
      // Lanes, and the trigger of notices, are there before.
      var first = AcceptedTask.stub(1)
      first.notify = [NoticeTarget(.webhook("https://example.com/1"), on: [.success])]
      try await node.submitStub(first)
      let tables = try await PostgresServer.shared.query(
        "SELECT tablename FROM pg_tables WHERE schemaname = '\(node.schema)' ORDER BY tablename"
      ).map { $0[0] }
      let triggers = tables.map {
        "CREATE TRIGGER refusal AFTER INSERT OR UPDATE OR DELETE ON \($0) FOR EACH ROW EXECUTE FUNCTION refuse();"
      }
      // A sequence goes on whatever is rolled back.
      _ = try await PostgresServer.shared.query(
        """
        SET search_path = \(node.schema); CREATE SEQUENCE rows_written;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF nextval('rows_written') = 1000000 THEN RAISE EXCEPTION 'no'; END IF;
          RETURN NULL;
        END $$;
        \(triggers.joined(separator: " "))
        """)
      let contents = tables.map {
        "SELECT '\($0)', md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM \(node.schema).\($0) t"
      }.joined(separator: " UNION ALL ")
      let before = try await PostgresServer.shared.query(contents)

      var (parent, child) = (AcceptedTask.stub(2), AcceptedTask.stub(3))
      parent.concurrencyKey = "k"
      parent.notify = first.notify
      child.dependencies = [.stub(1), .stub(2)]
      child.graph = .joinsFirstDependency(orElse: .stub(100))
      let key = IdempotencyKey("key", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0, 1, 2])
      let submission = Submission([parent, child, .stub(4)], keys: [key])
      var rows = 0
      var verdict: SubmissionVerdict?
      while verdict == nil, rows < 500 {
        rows += 1
        _ = try await node.number("SELECT setval('rows_written', \(1_000_000 - rows))")
        verdict = try? await node.submit([submission]).first
        if verdict == nil {
          let after = try await PostgresServer.shared.query(contents)
          #expect(after == before, "row \(rows)")
        }
      }
      guard case .accepted? = verdict else {
        Issue.record("\(String(describing: verdict)) behind \(rows) rows")
        return
      }
      #expect(rows > 12)
      #expect(try await node.number("SELECT count(*) FROM task_runs") == 4)
    }
  }
}
