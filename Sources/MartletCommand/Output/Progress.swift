// Where a terminal can do it, the progress of a task stays on one line that changes. Used by `Following`.

/// Turns batches of lines into what is to be written.
struct Progress {
  private let terminal: Terminal
  /// The last line that was written tells a progress.
  private var standsLast = false

  init(on terminal: Terminal) {
    self.terminal = terminal
  }

  /// - Parameter isProgress: the last of the lines tells a progress. Where it is the only one, it takes the place of the one
  ///   before; what came in between stays.
  mutating func text(_ lines: [String], isProgress: Bool) -> String {
    guard let last = lines.last else { return "" }
    defer { standsLast = isProgress && terminal.movesCursor }
    guard terminal.movesCursor, isProgress else { return lines.joined(separator: "\n") }
    // A line that the terminal breaks would be more than the one that can be written over.
    let cut = terminal.width.map { Plain.cut(last, to: $0) } ?? last
    let lines = lines.dropLast() + [cut]
    return (standsLast && lines.count == 1 ? Self.upAndClear : "") + lines.joined(separator: "\n")
  }

  /// ECMA-48: CUU to the line before, EL for the whole of it.
  private static let upAndClear = "\u{1B}[1A\u{1B}[2K"
}
