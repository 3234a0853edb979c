// Worlds that once showed a bug. They are lived through again in every run.

package enum Corpus {
  package struct Entry: Sendable {
    package let seed: UInt64
    /// What it showed.
    package let why: String
  }

  /// What a seed does changes with the simulation: an old one is one more world, and the bug that it showed has a test of its own.
  package static let entries: [Entry] = [
    Entry(seed: 467, why: "a report that came after its lease had been taken"),
    Entry(seed: 56, why: "a graph that was stored, could not be read back, and was answered as not stored"),
    Entry(seed: 61, why: "the same with a single task that waits for another"),
  ]
}
