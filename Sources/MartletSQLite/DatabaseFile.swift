// A look at the file before SQLite touches it: a refusal must not change what it refuses. New files are their owner's alone.

internal import Foundation
internal import MartletCore

enum DatabaseFile {
  /// - Throws: `.unusable` for a folder that is not there.
  static func checkFolder(of path: String) throws(StoreError) {
    guard path != ":memory:" else { return }
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue else {
      throw .unusable("there is no folder \(folder)")
    }
  }

  /// Creates the file if there is none, for its owner only: payloads are nobody else's business.
  /// - Throws: `.unusable` for files of other programs.
  static func prepare(_ path: String) throws(StoreError) {
    guard path != ":memory:" else { return }
    let descriptor = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw .unusable(String(cString: strerror(errno)).lowercased()) }
    defer { close(descriptor) }
    var header = [UInt8](repeating: 0, count: 100)
    let count = pread(descriptor, &header, header.count, 0)
    guard count > 0 else { return }  // new
    guard count == header.count, header.starts(with: Array("SQLite format 3\0".utf8)) else {
      throw .unusable("is no SQLite database")
    }
    // SQLite's file format §1.3: the application id stands at byte 68. A file whose first transaction is still in the WAL has
    // none yet, nor more than one page.
    let hasRows = lseek(descriptor, 0, SEEK_END) > 4096
    if hasRows, !header[68..<72].elementsEqual(applicationID),
      header[68..<72].contains(where: { $0 != 0 }) || !hasWAL(path)
    {
      throw .unusable("the file holds another program's database")
    }
  }

  /// "MARL", as the first migration sets it.
  private static let applicationID: [UInt8] = [0x4D, 0x41, 0x52, 0x4C]

  private static func hasWAL(_ path: String) -> Bool {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path + "-wal")  // nil: there is none
    return (attributes?[.size] as? Int ?? 0) > 0
  }
}
