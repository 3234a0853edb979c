// `database.url` in the words of the stores.

internal import Foundation
internal import MartletCore

package enum DatabaseLocation: Sendable {
  /// A file's absolute path, or `:memory:`.
  case sqlite(path: String)
  case postgres(url: String, schema: String)

  /// - Throws: for what `Settings.check` would have refused.
  package init(_ database: Settings.Database) throws(StoreError) {
    let url = database.url
    if url.hasPrefix("postgres://") || url.hasPrefix("postgresql://") {
      self = .postgres(url: url, schema: database.schema)
    } else if url.hasPrefix("sqlite:"), url.count > "sqlite:".count {
      let path = String(url.dropFirst("sqlite:".count))
      self = .sqlite(path: path == ":memory:" ? path : URL(fileURLWithPath: path).standardizedFileURL.path)
    } else {
      throw .unusable("database.url '\(Setting.printable(url))' is neither sqlite:PATH nor postgres://…")
    }
  }

  /// For people, and without a password.
  package var shown: String {
    switch self {
    case .sqlite(":memory:"): ":memory: (gone when the process ends)"
    case .sqlite(let path): path
    case .postgres(let url, let schema): "\(Self.place(url)) (schema \(schema))"
    }
  }

  /// Who, where and which database. Of the parameters only those that say so.
  private static func place(_ url: String) -> String {
    let shown = Secrets.hidden(in: url).replacing(":" + Secrets.hidden + "@", with: "@")
    guard let mark = shown.firstIndex(of: "?") else { return Setting.printable(shown) }
    let parameters = shown[mark...].dropFirst().split(separator: "&").filter { parameter in
      ["host=", "hostaddr=", "port=", "user=", "dbname="].contains { parameter.hasPrefix($0) }
    }
    return Setting.printable(shown[..<mark] + (parameters.isEmpty ? "" : "?" + parameters.joined(separator: "&")))
  }
}
