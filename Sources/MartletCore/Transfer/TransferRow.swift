// A row of an installation on its way from one store to another: the same values whichever store they are read from, and bytes that
// are the same for the same values, so that both sides can be summed up and compared.

package enum TransferValue: Sendable, Hashable {
  case null
  case int(Int64)
  case real(Double)
  case text(String)
  case bytes([UInt8])
}

package struct TransferRow: Sendable, Hashable {
  /// In the order of `TransferTable.columns`.
  package var values: [TransferValue]

  package init(_ values: [TransferValue]) {
    self.values = values
  }

  /// The canonical form: of each value its kind, for text and bytes the length, and the value. No two rows have the same.
  package func append(to bytes: inout [UInt8]) {
    for value in values {
      switch value {
      case .null: bytes.append(0)
      case .int(let number):
        bytes.append(1)
        Self.append(UInt64(bitPattern: number), to: &bytes)
      case .real(let number):
        bytes.append(2)
        Self.append(number.bitPattern, to: &bytes)
      case .text(let text):
        bytes.append(3)
        Self.append(UInt64(text.utf8.count), to: &bytes)
        bytes.append(contentsOf: text.utf8)
      case .bytes(let value):
        bytes.append(4)
        Self.append(UInt64(value.count), to: &bytes)
        bytes.append(contentsOf: value)
      }
    }
  }

  /// About what it takes in memory.
  package var size: Int {
    values.reduce(0) { size, value in
      switch value {
      case .null, .int, .real: size + 16
      case .text(let text): size + 16 + text.utf8.count
      case .bytes(let bytes): size + 16 + bytes.count
      }
    }
  }

  private static func append(_ word: UInt64, to bytes: inout [UInt8]) {
    for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift))) }
  }
}

/// A part of a table.
package struct TransferPage: Sendable {
  package var rows: [TransferRow]
  /// Whether there may be rows behind them.
  package var isLast: Bool

  package init(_ rows: [TransferRow], isLast: Bool) {
    self.rows = rows
    self.isLast = isLast
  }
}

/// A store that is read as a whole, while nobody serves it.
package protocol TransferSource: Sendable {
  /// The rows behind a key, in the order of keys; nil is before all of them. A page is short where its rows are long.
  func page(of table: TransferTable, after key: [TransferValue]?, limit: Int) async throws(StoreError) -> TransferPage

  func close() async
}

/// A store that is filled from nothing. From `begin` to `finish` no node serves it, whatever becomes of whoever fills it.
package protocol TransferTarget: TransferSource {
  /// - Parameters:
  ///   - origin: where the rows come from, for people.
  ///   - restarts: removes first what an incomplete transfer has left.
  /// - Throws: `.unusable` where it is served, not empty, or left incomplete and not to be begun anew.
  func begin(from origin: String, restarts: Bool) async throws(StoreError)

  /// Adds rows. Tables come in the order of `TransferTable.allCases`.
  func write(_ rows: [TransferRow], to table: TransferTable) async throws(StoreError)

  /// Makes what follows from the rows; afterwards they can be read again.
  func complete() async throws(StoreError)

  /// From here on it may be served.
  func finish() async throws(StoreError)
}
