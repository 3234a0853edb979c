// A text with places to fill: `{{taskId}}` is replaced by what a notice says of it, `{{#error}}…{{/error}}` stands only where there
// is something to say. `MailTemplates` has three of them.

struct Template: Sendable, Hashable {
  private enum Piece: Sendable, Hashable {
    case text(String)
    case place(String)
    /// With its pieces.
    case section(String, [Piece])
  }

  private let pieces: [Piece]

  /// - Parameter isKnown: whether there is a place of that name.
  /// - Throws: all that is wrong.
  init(_ source: String, isKnown: @escaping (String) -> Bool) throws(TemplateProblems) {
    var parser = Parser(isKnown: isKnown)
    parser.read(source)
    guard parser.problems.isEmpty else { throw TemplateProblems(parser.problems) }
    pieces = parser.open[0].pieces
  }

  /// - Parameters:
  ///   - values: what stands in the places; it is not looked through for places itself.
  ///   - escape: makes a value fit for where the template is used.
  func filled(_ values: (String) -> String, escape: (String) -> String) -> String {
    var text = ""
    fill(pieces, values, escape, into: &text)
    return text
  }

  private func fill(
    _ pieces: [Piece], _ values: (String) -> String, _ escape: (String) -> String, into text: inout String
  ) {
    for piece in pieces {
      switch piece {
      case .text(let piece): text += piece
      case .place(let name): text += escape(values(name))
      case .section(let name, let inner):
        if !values(name).isEmpty { fill(inner, values, escape, into: &text) }
      }
    }
  }
}

extension Template {
  private struct Parser {
    let isKnown: (String) -> Bool
    /// The first is the whole, the last the innermost section that is open.
    var open: [(name: String, pieces: [Piece])] = [("", [])]
    var problems: [String] = []

    init(isKnown: @escaping (String) -> Bool) {
      self.isKnown = isKnown
    }

    mutating func read(_ source: String) {
      var rest = source[...]
      while let start = rest.firstRange(of: "{{") {
        add(.text(String(rest[..<start.lowerBound])))
        rest = rest[start.upperBound...]
        guard let end = rest.firstRange(of: "}}") else {
          problems.append("a {{ has no }}")
          return
        }
        read(tag: trimmed(rest[..<end.lowerBound]))
        rest = rest[end.upperBound...]
      }
      add(.text(String(rest)))
      problems += open.dropFirst().map { "{{#\($0.name)}} has no {{/\($0.name)}}" }
    }

    private mutating func read(tag: String) {
      let sign = tag.first.flatMap { "#/".contains($0) ? $0 : nil }
      let name = sign == nil ? tag : trimmed(tag.dropFirst())
      guard isKnown(name) else {
        problems.append("{{\(oneLine(tag, limit: 60))}} is no placeholder")
        return
      }
      switch sign {
      case "#": open.append((name, []))
      case "/":
        guard open.count > 1, open[open.count - 1].name == name else {
          problems.append("{{/\(name)}} closes nothing that is open")
          return
        }
        let section = open.removeLast()
        add(.section(section.name, section.pieces))
      default: add(.place(name))
      }
    }

    private mutating func add(_ piece: Piece) {
      if piece != .text("") { open[open.count - 1].pieces.append(piece) }
    }
  }
}

/// What is wrong with templates, a line each.
package struct TemplateProblems: Error, Sendable, Hashable, CustomStringConvertible {
  package let lines: [String]

  package init(_ lines: [String]) {
    self.lines = lines
  }

  package var description: String { lines.joined(separator: "; ") }
}

private func trimmed(_ text: Substring) -> String {
  var text = text.drop(while: \.isWhitespace)
  while let last = text.last, last.isWhitespace { text.removeLast() }
  return String(text)
}

/// Between tags and within attributes.
func htmlEscaped(_ text: String) -> String {
  var escaped = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": escaped += "&amp;"
    case "<": escaped += "&lt;"
    case ">": escaped += "&gt;"
    case "\"": escaped += "&quot;"
    case "'": escaped += "&#39;"
    default: escaped.unicodeScalars.append(scalar)
    }
  }
  return escaped
}
