// The page on metrics, against the code.

import Foundation
import MartletEngine
import Testing

@Suite("The page on metrics")
struct MetricsDocumentTests {
  private static var page: String {
    get throws {
      let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../docs/operations/metrics.md")
      return try String(contentsOf: page, encoding: .utf8)
    }
  }

  private static var table: String {
    let rows = MetricName.all.map { name in
      let labels = name.labels.map { "`\($0)`" }.joined(separator: ", ")
      return "| `\(name.text)` | \(name.kind.rawValue) | \(labels) | \(name.help) |"
    }
    return (["| metric | kind | labels | meaning |", "|---|---|---|---|"] + rows).joined(separator: "\n") + "\n"
  }

  @Test("has the table of metrics as the code has it")
  func table() throws {
    #expect(try Self.page.contains(Self.table), "put this into docs/operations/metrics.md:\n\(Self.table)")
  }

  @Test("names no metric that there is not")
  func names() throws {
    let known = Set(MetricName.all.map(\.text))
    for match in try Self.page.matches(of: /martlet_[a-z_]+[a-z]/) {
      let name = String(match.output)
      let bare = ["_bucket", "_sum", "_count"].reduce(name) { $0.hasSuffix($1) ? String($0.dropLast($1.count)) : $0 }
      #expect(known.contains(bare), "\(name)")
    }
  }
}
