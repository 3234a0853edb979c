// Inputs that were written by hand to break the parsers, or that fuzzing found and kept (`scripts/fuzz --keep`): what was mended once
// stays so.

import Foundation
import FuzzTargets
import Testing

@Suite("Of the inputs that fuzzing kept")
struct CorpusTests {
  private static let corpus = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fuzz/corpus")

  @Test("none breaks its parser", arguments: FuzzTarget.all.map(\.name))
  func replay(name: String) async throws {
    let target = try #require(FuzzTarget.all.first { $0.name == name })
    let folder = Self.corpus.appendingPathComponent(name)
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    #expect(!files.isEmpty && files.count <= 120)
    for file in files {
      let bytes = Array(try Data(contentsOf: folder.appendingPathComponent(file)))
      #expect(bytes.count <= target.longest, "\(file) is longer than what is tried")
      if let finding = await Self.run(target, bytes) { Issue.record("\(name)/\(file): \(finding)") }
    }
  }

  /// On a thread of its own: some of them wait for what the threads that tests share have to do.
  private static func run(_ target: FuzzTarget, _ bytes: [UInt8]) async -> Finding? {
    await withCheckedContinuation { continuation in
      Thread.detachNewThread {
        do throws(Finding) {
          try target.run(bytes)
          continuation.resume(returning: nil)
        } catch {
          continuation.resume(returning: error)
        }
      }
    }
  }

  @Test("each belongs to a parser")
  func folders() throws {
    let folders = try FileManager.default.contentsOfDirectory(atPath: Self.corpus.path)
    #expect(Set(folders) == Set(FuzzTarget.all.map(\.name)))
  }
}
