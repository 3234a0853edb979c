// A file for as long as a test needs it.

internal import Foundation

struct TemporaryFile: Sendable {
  let path: String

  static func with(_ text: String, _ body: (TemporaryFile) async throws -> Void) async throws {
    let directory = FileManager.default.temporaryDirectory
    let file = TemporaryFile(path: directory.appendingPathComponent("martlet-\(UUID().uuidString)").path)
    try file.write(text)
    defer { try? FileManager.default.removeItem(atPath: file.path) }
    try await body(file)
  }

  func write(_ text: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }
}
