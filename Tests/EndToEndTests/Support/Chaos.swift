// What the runs of faults have in common: how long they last, and what they say in the end. In `make test` each does what it does
// once or a few times; `scripts/chaos` gives them minutes, reads what they say, and takes one that says nothing for a failure.

internal import Foundation
internal import Testing

enum Chaos {
  /// MARTLET_CHAOS_SECONDS; none in `make test`.
  static var duration: Duration {
    .seconds(ProcessInfo.processInfo.environment["MARTLET_CHAOS_SECONDS"].flatMap { Double($0) } ?? 0)
  }

  /// How often something is done that takes about so many seconds: at least so many times.
  static func times(_ least: Int, each seconds: Double) -> Int {
    max(least, Int(duration / .seconds(seconds)))
  }

  /// Tells which faults were seen to happen, how often, and what was held against each other afterwards. A fault that did not
  /// happen fails the run: it has proved nothing.
  static func report(
    _ faults: [(name: String, count: Int)], checked: [(name: String, count: Int)],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    func list(_ counts: [(name: String, count: Int)]) -> String {
      counts.map { "\($0.count) \($0.name)" }.joined(separator: ", ")
    }
    print("chaos: \(list(faults)) | \(list(checked))")
    for (name, count) in faults where count == 0 {
      Issue.record("vacuous: there were no \(name)", sourceLocation: sourceLocation)
    }
  }
}
