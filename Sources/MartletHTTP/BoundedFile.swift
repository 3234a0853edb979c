// Small files of the configuration: keys and certificates. Read whole, and never more than is expected of them.

internal import Foundation

/// Why a file cannot be read, as the rest of a line.
struct FileFault: Error, Hashable, Sendable, CustomStringConvertible {
  let description: String

  init(_ description: String) {
    self.description = description
  }

  fileprivate static var system: FileFault { FileFault(String(cString: strerror(errno)).lowercased()) }
}

enum BoundedFile {
  /// - Throws: for what is not there, not a regular file, not readable or longer than `limit`.
  static func contents(of path: String, upTo limit: Int) throws(FileFault) -> [UInt8] {
    // To open a pipe would wait for whoever writes into it.
    var facts = stat()
    guard stat(path, &facts) == 0 else { throw .system }
    guard facts.st_mode & S_IFMT == S_IFREG else { throw FileFault("it is not a regular file") }
    guard let file = fopen(path, "rbe") else { throw .system }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: limit + 1)
    let count = fread(&bytes, 1, bytes.count, file)
    guard ferror(file) == 0 else { throw .system }
    guard count <= limit else { throw FileFault("it is larger than \(limit) bytes") }
    return Array(bytes[..<count])
  }
}
