// Aligned columns, cut to the terminal's width. Pure: from cells to text; every cell is made fit to be shown on the
// way.

struct Table {
  struct Column {
    var title: String
    var isNumber = false
    /// May be cut when the line is too long for the terminal.
    var shrinks = false

    init(_ title: String, isNumber: Bool = false, shrinks: Bool = false) {
      self.title = title
      self.isNumber = isNumber
      self.shrinks = shrinks
    }
  }

  struct Cell: ExpressibleByStringLiteral {
    var text: String
    var style: Terminal.Style?

    init(_ text: String?, _ style: Terminal.Style? = nil) {
      self.text = text ?? ""
      self.style = style
    }

    init(stringLiteral text: String) {
      self.init(text)
    }
  }

  var columns: [Column]
  var rows: [[Cell]] = []

  func rendered(for terminal: Terminal) -> String {
    let cells = rows.map { row in row.map { Cell(Plain.line($0.text), $0.style) } }
    let widths = widths(of: cells, within: terminal.width)
    let head = line(columns.map { Cell($0.title, .bold) }, widths, terminal)
    return ([head] + cells.map { line($0, widths, terminal) }).joined(separator: "\n")
  }

  private static let gap = "  "
  /// A column is not cut below this.
  private static let narrowest = 12

  private func widths(of cells: [[Cell]], within limit: Int?) -> [Int] {
    var widths = columns.map { Plain.width($0.title) }
    for row in cells {
      for (index, cell) in row.enumerated() { widths[index] = max(widths[index], Plain.width(cell.text)) }
    }
    guard let limit else { return widths }
    var excess = widths.reduce(0, +) + Self.gap.count * (columns.count - 1) - limit
    // The widest column gives first, down to the next one's width, so that short ones stay whole as long as possible.
    while excess > 0 {
      let giving = columns.indices.filter { columns[$0].shrinks && widths[$0] > Self.narrowest }
      guard let widest = giving.max(by: { widths[$0] < widths[$1] }) else { break }
      widths[widest] -= 1
      excess -= 1
    }
    return widths
  }

  private func line(_ row: [Cell], _ widths: [Int], _ terminal: Terminal) -> String {
    var parts: [String] = []
    for (index, cell) in row.enumerated() {
      let text = Plain.cut(cell.text, to: widths[index])
      let space = String(repeating: " ", count: max(0, widths[index] - Plain.width(text)))
      let shown = terminal.styled(text, cell.style)
      let isLast = index == row.count - 1
      parts.append(columns[index].isNumber ? space + shown : isLast ? shown : shown + space)
    }
    var line = parts.joined(separator: Self.gap)
    while line.last == " " { line.removeLast() }
    return line
  }
}
