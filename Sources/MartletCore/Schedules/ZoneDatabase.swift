// Where time zones come from: the compiled IANA database of the operating system, which it keeps up to date. Read when a
// schedule is checked or loaded, by blocking calls of some fifty microseconds; everything else about schedules is pure.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// Compiled zones in directories, the first that has a zone wins. `UTC` and `Etc/UTC` need none.
package struct ZoneDatabase: Sendable {
  package let directories: [String]

  package init(directories: [String]) {
    self.directories = directories
  }

  /// What the environment's `TZDIR` names, as for the C library, then where systems keep it.
  package static var system: ZoneDatabase {
    let named = getenv("TZDIR").map { String(cString: $0) } ?? ""
    return ZoneDatabase(directories: (named.isEmpty ? [] : [named]) + usual)
  }

  private static let usual = [
    "/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo",
  ]

  /// The zone of this name, as the IANA database spells it.
  package func rules(named name: String) throws(ZoneProblem) -> ZoneRules {
    guard Self.isName(name) else { throw ZoneProblem("must be the name of a time zone, such as Europe/Berlin or UTC") }
    if name == "UTC" || name == "Etc/UTC" { return .utc }
    for directory in directories {
      let path = "\(directory)/\(name)"
      switch File.load(path, atMost: ZoneFile.longest) {
      case .content(let bytes):
        do {
          return try ZoneFile.rules(named: name, in: bytes)
        } catch {
          throw ZoneProblem("cannot be read: \(path) \(error.reason)")
        }
      case .failed(let code):
        throw ZoneProblem("cannot be read: \(path): \(String(cString: strerror(code)))")
      case .missing:
        continue
      }
    }
    guard directories.contains(where: { access("\($0)/Etc/UTC", R_OK) == 0 }) else {
      throw ZoneProblem(
        """
        needs the time zone database, which is in none of \(directories.joined(separator: ", ")); install the package tzdata, \
        name its place in TZDIR, or use UTC
        """)
    }
    throw ZoneProblem("is \(name), which is no time zone; names are as in Europe/Berlin or UTC")
  }

  /// Letters, digits, `_`, `+`, `-` and `/` between parts, beginning with a capital letter: what the names of the database have in
  /// common, and its other files (`posixrules`, `localtime`, `right/…`) have not. No dots, so that nobody leaves the directory.
  private static func isName(_ name: String) -> Bool {
    guard (1...64).contains(name.utf8.count), let first = name.utf8.first,
      (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first)
    else { return false }
    let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    return parts.allSatisfy { part in
      !part.isEmpty
        && part.allSatisfy { byte in
          switch byte {
          case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "+"), UInt8(ascii: "-"):
            true
          default: false
          }
        }
    }
  }
}

/// Why there is no such zone: what follows "the time zone", safe to show.
package struct ZoneProblem: Error, Sendable, Hashable, CustomStringConvertible {
  package let description: String

  init(_ sentence: String) {
    description = sentence
  }
}

private enum File {
  case content([UInt8])
  /// There is no such file; a directory is none.
  case missing
  case failed(Int32)

  static func load(_ path: String, atMost limit: Int) -> File {
    // A pipe in the file's place must not keep anybody waiting.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      return [ENOENT, ENOTDIR, ENAMETOOLONG].contains(errno) ? .missing : .failed(errno)
    }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return .failed(errno) }
    guard status.st_mode & S_IFMT == S_IFREG else { return .missing }
    guard status.st_size <= limit else { return .failed(EFBIG) }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    var filled = 0
    while filled < bytes.count {
      let count = bytes.withUnsafeMutableBytes { buffer in
        read(descriptor, buffer.baseAddress! + filled, buffer.count - filled)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return .failed(errno) }
      guard count > 0 else { break }
      filled += count
    }
    return .content(Array(bytes.prefix(filled)))
  }
}
