// `martlet transfer`: everything that an embedded database holds, copied into an empty schema of PostgreSQL, page by page, and then
// compared, table by table, by the number of rows and a SHA-256 over their canonical form.

internal import Crypto
package import MartletCore
internal import MartletPostgres
internal import MartletSQLite

package struct Transfer: Sendable {
  /// What became of a table. The sums are of both sides, in hexadecimal digits.
  package struct Table: Sendable, Hashable {
    package var name: String
    package var rows: Int
    package var sum: String
    package var copiedRows: Int
    package var copiedSum: String

    package var isEqual: Bool { rows == copiedRows && sum == copiedSum }
  }

  /// What it is doing, for whoever waits.
  package enum Step: Sendable, Hashable {
    case copied(table: String, rows: Int)
    case compared(table: String, rows: Int)
  }

  private let source: any TransferSource
  private let target: any TransferTarget
  private let origin: String
  private let tell: @Sendable (Step) -> Void

  /// Rows of a page at most. Pages of long rows are shorter.
  private static let pageLimit = 1000
  /// For an answer of the target, a quarter of it for a connection: nobody's call waits behind it, and giving up means to begin again.
  private static let patience = Duration.seconds(120)

  /// - Parameters:
  ///   - restarts: removes first what an incomplete transfer has left.
  ///   - tell: told after each page.
  /// - Throws: `.unusable` with one line for people: either side is served, the target is not empty, the copy is not equal.
  package static func run(
    from: Settings.Database, to: Settings.Database, restarts: Bool, tell: @escaping @Sendable (Step) -> Void
  ) async throws(StoreError) -> [Table] {
    guard case .sqlite(let path) = try DatabaseLocation(from) else {
      throw .unusable("a transfer goes from sqlite:PATH")
    }
    guard case .postgres(let url, _) = try DatabaseLocation(to) else {
      throw .unusable("a transfer goes to postgres://…")
    }
    let source = try await SQLiteTransferSource.open(path: path)
    return try await closing(source) { () throws(StoreError) in
      var options = to.postgresOptions(url)
      options.answerWithin = patience
      let target = try await PostgresTransferTarget.open(options)
      return try await closing(target) { () throws(StoreError) in
        try await Transfer(source, to: target, origin: path, tell: tell).run(restarts: restarts)
      }
    }
  }

  package init(
    _ source: any TransferSource, to target: any TransferTarget, origin: String,
    tell: @escaping @Sendable (Step) -> Void = { _ in }
  ) {
    self.source = source
    self.target = target
    self.origin = origin
    self.tell = tell
  }

  package func run(restarts: Bool = false) async throws(StoreError) -> [Table] {
    try await target.begin(from: origin, restarts: restarts)
    var copied: [(table: TransferTable, sum: Sum, pages: [Int])] = []
    for table in TransferTable.allCases {
      let (sum, pages) = try await copy(table)
      copied.append((table, sum, pages))
    }
    try await target.complete()
    var tables: [Table] = []
    for (table, sum, pages) in copied {
      let other = try await read(table, pages)
      tables.append(
        Table(
          name: table.rawValue, rows: sum.rows, sum: sum.text, copiedRows: other.rows, copiedSum: other.text))
    }
    let different = tables.filter { !$0.isEqual }
    guard different.isEmpty else {
      let told = different.map { "\($0.name): \($0.rows) rows \($0.sum), copied \($0.copiedRows) rows \($0.copiedSum)" }
      throw .unusable("the copy is not equal, and is not served: \(told.joined(separator: "; "))")
    }
    try await target.finish()
    return tables
  }

  /// - Returns: also how many rows each page had, so that the copy can be read in pages that take no more room.
  private func copy(_ table: TransferTable) async throws(StoreError) -> (Sum, [Int]) {
    var sum = Sum()
    var pages: [Int] = []
    var key: [TransferValue]?
    while true {
      let page = try await source.page(of: table, after: key, limit: Self.pageLimit)
      try await target.write(page.rows, to: table)
      sum.add(page.rows)
      if !page.rows.isEmpty { pages.append(page.rows.count) }
      tell(.copied(table: table.rawValue, rows: sum.rows))
      guard !page.isLast, let last = page.rows.last else { return (sum, pages) }
      key = Array(last.values.prefix(table.key.count))
    }
  }

  private func read(_ table: TransferTable, _ pages: [Int]) async throws(StoreError) -> Sum {
    var sum = Sum()
    var key: [TransferValue]?
    // One more: there must be nothing behind the last.
    for limit in pages + [1] {
      let page = try await target.page(of: table, after: key, limit: limit)
      sum.add(page.rows)
      tell(.compared(table: table.rawValue, rows: sum.rows))
      guard let last = page.rows.last else { break }
      key = Array(last.values.prefix(table.key.count))
    }
    return sum
  }

  private struct Sum {
    private(set) var rows = 0
    private var hash = SHA256()

    mutating func add(_ rows: [TransferRow]) {
      var bytes: [UInt8] = []
      for row in rows {
        bytes.removeAll(keepingCapacity: true)
        row.append(to: &bytes)
        hash.update(data: bytes)
      }
      self.rows += rows.count
    }

    var text: String {
      let digits = Array("0123456789abcdef".utf8)
      return String(decoding: hash.finalize().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
  }
}

private func closing<Value: Sendable>(
  _ store: any TransferSource, _ body: () async throws(StoreError) -> Value
) async throws(StoreError) -> Value {
  let result: Result<Value, StoreError>
  do throws(StoreError) { result = .success(try await body()) } catch { result = .failure(error) }
  await store.close()
  return try result.get()
}
