// The checker itself: it must find each kind of broken promise, or the tests that rely on it prove nothing.

internal import Testing

extension EndToEnd {
  @Suite("The checker of crash tests")
  struct CheckerTests {
    private typealias Row = StoredTask

    private func checker(
      lost: Set<StoredAttempt> = [], _ change: (inout Journal.Book, inout [Checker.Effect], inout [Row]) -> Void
    ) -> Checker {
      var journal = Journal.Book()
      journal.acknowledged = ["a": 0, "b": 1]
      journal.unknown = [2, 3]
      var effects = [("a", 1), ("b", 1), ("b", 2), ("c", 1)].map { Checker.Effect(task: $0.0, attempt: $0.1) }
      var rows = [("a", 1, 0), ("b", 2, 1), ("c", 1, 2)]
        .map { Row(id: $0.0, status: Code.success, attempt: $0.1, number: $0.2) }
      change(&journal, &effects, &rows)
      return Checker(journal: journal, effects: effects, listed: rows, stored: rows, lost: lost)
    }

    @Test func `it has nothing to say where all is well, a lost answer included`() {
      #expect(checker { _, _, _ in }.faults() == [])
    }

    @Test func `it finds a lost task`() {
      let faults = checker { journal, _, _ in journal.acknowledged["d"] = 4 }.faults()
      #expect(faults == ["d was acknowledged and is not there"])
    }

    @Test func `it finds an unfinished task`() {
      let faults = checker { _, _, rows in rows[0].status = 3 }.faults()
      #expect(faults == ["a was acknowledged and ended with status 3"])
    }

    @Test func `it finds a task that nobody submitted`() {
      #expect(checker { journal, _, _ in journal.unknown = [3] }.faults() == ["c was never submitted"])
    }

    @Test func `it finds a task that was accepted twice`() {
      let again = Row(id: "d", status: Code.success, attempt: 1, number: 2)
      let faults = checker { _, effects, rows in
        rows.append(again)
        effects.append(.init(task: "d", attempt: 1))
      }.faults()
      #expect(faults == ["number 2 was accepted 2 times"])
    }

    @Test func `it finds a task under another id than the client was told`() {
      #expect(checker { journal, _, _ in journal.named[2] = "c" }.faults() == [])
      let faults = checker { journal, _, _ in journal.named[2] = "d" }.faults()
      #expect(faults == ["c was stored, and the client was told to look for d"])
    }

    @Test func `it finds attempts that overlap, unless the lease had ended`() {
      let late = { (effects: inout [Checker.Effect]) in effects.swapAt(1, 2) }
      let faults = checker { _, effects, _ in late(&effects) }.faults()
      #expect(faults == ["attempt 1 of b still ran when a later one did, and was not lost"])
      #expect(checker(lost: [.init(task: "b", number: 1)]) { _, effects, _ in late(&effects) }.faults() == [])
    }

    @Test func `it finds a task that was mixed up with another`() {
      #expect(checker { _, _, rows in rows[0].number = 9 }.faults() == ["a is number 9 and was acknowledged as 0"])
    }

    @Test func `it finds an attempt that was carried out twice`() {
      let faults = checker { _, effects, _ in effects.append(.init(task: "b", attempt: 2)) }.faults()
      #expect(faults == ["attempt 2 of b was carried out twice"])
    }

    @Test func `it finds a success without work`() {
      #expect(checker { _, effects, _ in effects.remove(at: 0) }.faults() == ["a is SUCCESS and was never carried out"])
      let faults = checker { _, effects, _ in effects.remove(at: 2) }.faults()
      #expect(faults == ["b succeeded in attempt 2, which did nothing"])
    }

    @Test func `it finds attempts that were not counted`() {
      let faults = checker { _, effects, _ in effects.append(.init(task: "a", attempt: 2)) }.faults()
      #expect(faults == ["a had more attempts than it knows of"])
    }

    @Test func `it finds work for a task that is not stored`() {
      let faults = checker { _, effects, _ in effects.append(.init(task: "e", attempt: 1)) }.faults()
      #expect(faults == ["e was carried out and is not stored"])
    }

    @Test func `it finds where the API and the database disagree, and answers that no client should see`() {
      let well = checker { journal, _, _ in journal.faults = ["500"] }
      let listed = Array(well.listed.dropLast())
      let faults = Checker(journal: well.journal, effects: nil, listed: listed, stored: well.stored, lost: []).faults()
      #expect(faults.count == 2)
      #expect(faults.first == "500")
      #expect(faults.last?.hasPrefix("the API and the database disagree") == true)
    }
  }
}
