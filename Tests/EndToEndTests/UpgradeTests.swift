// A next release under load: its step of the schema is applied beside nodes of this one, and these are restarted in it one after the
// other.

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
          guard let api = fleet.apis[0].api else { throw NeverCame(what: "an API") }
          let book = fleet.load.journal.book
          let checker = try await Checker(
            journal: book, effects: fleet.effects, api: api, database: fleet.database)
          #expect(checker.summary() == [])
          #expect(try await fleet.database.faults() == [])
          #expect(book.acknowledged.count >= 100)
          let shades = try await fleet.database.number("SELECT count(*) FROM martlet.shades")
          #expect(shades >= 100, "the step was there while tasks came")
          Chaos.report(
            [("steps of the schema under load", 1), ("restarts", Self.rounds * fleet.nodes.count)],
            checked: [
              ("acknowledged", book.acknowledged.count), ("effects", fleet.effects.count),
              ("tasks that the step's trigger saw", shades),
            ])
          for node in fleet.nodes { #expect(try await node.stop() == .exited(0), "\(node.name)") }
        }
      }
    }
  }
}
