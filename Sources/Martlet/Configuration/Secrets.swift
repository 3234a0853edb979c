// Keeps passwords out of everything that people see of a setting: `config show`, faults, the banner, the log.

internal import MartletCore

enum Secrets {
  static let hidden = "(hidden)"

  /// A URL without its password and without secret parameters. What cannot be understood rather loses too much than too little:
  /// a URL with a typing error in it is shown most often. It is read scalar by scalar, as those do who connect by it: to Swift an `@`
  /// with a combining mark behind it is another character.
  static func hidden(in text: String) -> String {
    guard !text.hasPrefix("sqlite:") else { return text }  // a path may have any characters
    let scalars = text.unicodeScalars[...]
    let start = scalars.firstRange(of: "//".unicodeScalars)?.upperBound ?? scalars.startIndex
    return withoutParameters(String(scalars[..<start]) + withoutPassword(scalars[start...]))
  }

  /// `user:password@host/…`. Some passwords have slashes and question marks in them, as they should not.
  private static func withoutPassword(_ rest: Substring.UnicodeScalarView) -> String {
    let name = rest.prefix { !"@/?#".unicodeScalars.contains($0) }
    guard let colon = name.firstIndex(of: ":") else { return String(rest) }
    let path = rest.prefix { $0 != "?" && $0 != "#" }
    guard let at = path.lastIndex(of: "@") ?? rest.lastIndex(of: "@"), colon < at else { return String(rest) }
    return String(rest[...colon]) + hidden + String(rest[at...])
  }

  /// `?password=…` and the like.
  private static func withoutParameters(_ text: String) -> String {
    let scalars = text.unicodeScalars[...]
    guard let mark = scalars.firstIndex(of: "?") else { return text }
    let parameters = scalars[scalars.index(after: mark)...].split(separator: "&", omittingEmptySubsequences: false)
    return String(scalars[...mark])
      + parameters.map { parameter in
        guard let equals = parameter.firstIndex(of: "="), isSecret(String(parameter[..<equals])) else {
          return String(parameter)
        }
        return String(parameter[...equals]) + hidden
      }.joined(separator: "&")
  }

  /// A name may be written with `%70` for `p`.
  private static func isSecret(_ name: String) -> Bool {
    let name = percentDecoded(name).lowercased()
    return ["password", "passwd", "secret", "token"].contains { name.contains($0) }
  }

  private static func percentDecoded(_ text: String) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), let value = UInt8(String(Substring(rest.prefix(2))), radix: 16) {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
