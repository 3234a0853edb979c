// What the output can show: a terminal's width and colours, or neither for a file or a pipe.

internal import Foundation

struct Terminal: Sendable {
  var isTerminal: Bool
  /// Columns; nil where lines may be of any length.
  var width: Int?
  var hasColour: Bool
  /// It takes the control sequences of ECMA-48.
  var movesCursor = false

  /// A file or a pipe.
  static let plain = Terminal(isTerminal: false, width: nil, hasColour: false)

  /// The program's standard output, asked once.
  static let output: Terminal = {
    guard isatty(STDOUT_FILENO) == 1 else { return .plain }
    var size = winsize()
    let known = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    return Terminal(
      isTerminal: true, width: known ? Int(size.ws_col) : 80,
      hasColour: wantsColour(ProcessInfo.processInfo.environment),
      movesCursor: ProcessInfo.processInfo.environment["TERM", default: "dumb"] != "dumb")
  }()

  /// https://no-color.org: any value but the empty one.
  static func wantsColour(_ environment: [String: String]) -> Bool {
    environment["NO_COLOR", default: ""].isEmpty && environment["TERM"] != "dumb"
  }

  func styled(_ text: String, _ style: Style?) -> String {
    guard hasColour, let style else { return text }
    return "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m"
  }

  enum Style: String {
    case bold = "1"
    case faint = "2"
    case good = "32"
    case bad = "31"
    case busy = "36"
    case waiting = "33"
  }
}
