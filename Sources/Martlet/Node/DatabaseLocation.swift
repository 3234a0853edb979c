// `database.url` in the words of the stores.

internal import Foundation
internal import MartletCore

package struct DatabaseLocation: Sendable {
  /// A file's absolute path, or `:memory:`.
  package let path: String

  /// - Parameter url: `sqlite:PATH` or `sqlite::memory:`.
  package init(_ url: String) throws(StoreError) {
    guard url.hasPrefix("sqlite:"), url.count > "sqlite:".count else {
      throw .unusable("database.url '\(url)' is not of the form sqlite:PATH")
    }
    let path = String(url.dropFirst("sqlite:".count))
    self.path = path == ":memory:" ? path : URL(fileURLWithPath: path).standardizedFileURL.path
  }

  /// For people.
  package var shown: String {
    path == ":memory:" ? ":memory: (gone when the process ends)" : path
  }
}
