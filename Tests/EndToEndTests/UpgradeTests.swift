// Upgrades under load. A next release is played by its step of the schema, which is applied beside nodes of this one; the release
// before is its own program, where MARTLET_PREVIOUS_PROGRAM names it: nodes of both work side by side, in turns.

internal import Foundation
internal import Testing

extension EndToEnd {
  @Suite("Upgrades")
  struct UpgradeTests {
    /// What a next release may do to tables that this one uses.
    private static let step = """
      BEGIN;
      SET LOCAL search_path = martlet;
      ALTER TABLE task_runs ADD COLUMN shade smallint NOT NULL DEFAULT 0;
      ALTER TABLE attempts ADD COLUMN shade text;
      CREATE TABLE shades (id uuid PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
      CREATE FUNCTION note_shade() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
      BEGIN INSERT INTO shades (id) VALUES (NEW.id); RETURN NULL; END $$;
      CREATE TRIGGER task_runs_shade AFTER INSERT ON task_runs FOR EACH ROW EXECUTE FUNCTION note_shade();
      INSERT INTO migrations (name, works_beside) SELECT 'V9001_shades', max(name COLLATE "C") FROM migrations;
      COMMIT;
      """

    private static var rounds: Int { Chaos.times(1, each: 20) }

    private static let previous = ProcessInfo.processInfo.environment["MARTLET_PREVIOUS_PROGRAM"]
      .map { URL(fileURLWithPath: $0) }

    @Test func `nodes work on, and are restarted one by one, in a schema that a next release has added to`()
      async throws
    {
      try await Scene.play { scene in
        try await Fleet.serving(in: scene, seed: 1) { fleet in
          _ = try await fleet.database.query(Self.step)
          try await fleet.works()
          for _ in 0..<Self.rounds {
            for node in fleet.nodes {
              #expect(try await node.stop() == .exited(0), "\(node.name)")
              try await node.start()
              fleet.aim()
              try await fleet.works()
            }
          }
        } after: { fleet in
          let shades = try await fleet.database.number("SELECT count(*) FROM martlet.shades")
          #expect(shades >= 100, "the step was there while tasks came")
          try await Self.check(
            fleet, [("steps of the schema under load", 1), ("restarts", Self.rounds * fleet.nodes.count)],
            ("tasks that the step's trigger saw", shades))
        }
      }
    }

    @Test(.enabled(if: previous != nil, "MARTLET_PREVIOUS_PROGRAM names the program of the release before"))
    func `nodes of the release before are replaced one by one, put back, and replaced again`() async throws {
      let previous = try #require(Self.previous)
      try await Scene.play { scene in
        var count = 0
        try await Fleet.serving(in: scene, seed: 2, previous: previous) { fleet in
          for release in [nil, previous, nil] {
            for node in fleet.nodes where node.isPlain {
              #expect(try await node.stop() == .exited(0), "\(node.name)")
              node.takes(release)
              try await node.start()
              count += 1
              fleet.aim()
              try await fleet.works()
            }
          }
        } after: { fleet in
          try await Self.check(fleet, [("nodes replaced", count)])
        }
      }
    }

    private static func check(
      _ fleet: Fleet, _ faults: [(name: String, count: Int)], _ checked: (name: String, count: Int)...
    ) async throws {
      guard let api = fleet.apis[0].api else { throw NeverCame(what: "an API") }
      let book = fleet.load.journal.book
      let checker = try await Checker(journal: book, effects: fleet.effects, api: api, database: fleet.database)
      #expect(checker.summary() == [])
      #expect(try await fleet.database.faults() == [])
      #expect(book.acknowledged.count >= 100)
      Chaos.report(
        faults, checked: [("acknowledged", book.acknowledged.count), ("effects", fleet.effects.count)] + checked)
      for node in fleet.nodes { #expect(try await node.stop() == .exited(0), "\(node.name)") }
    }
  }
}
