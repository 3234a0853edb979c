// Writes compiled time zones for tests: what a file of the database may and may not contain.

import Foundation
import MartletCore

/// A TZif file to be (RFC 9636), and a directory to put it in.
struct CompiledZone {
  var magic = "TZif"
  var version: UInt8 = UInt8(ascii: "2")
  var times: [Int64] = []
  /// One for each of `times`.
  var kinds: [UInt8] = []
  /// Offsets from UTC in seconds.
  var types: [Int32] = [0]
  var leapSeconds = 0
  var footer = "\n\n"

  /// A zone that is as its footer says.
  static func footer(_ rule: String, offset: Int32 = 0) -> CompiledZone {
    CompiledZone(types: [offset], footer: "\n\(rule)\n")
  }

  var bytes: [UInt8] {
    // Old programs get an empty zone.
    let old = header(times: 0, types: 1, leapSeconds: 0) + [UInt8](repeating: 0, count: 6 + 4)
    guard version != 0 else { return old }
    let body =
      times.flatMap { bigEndian($0) } + kinds + types.flatMap { bigEndian($0) + [0, 0] } + Array("XXX\0".utf8)
      + [UInt8](repeating: 0, count: leapSeconds * 12)
    return old + header(times: times.count, types: types.count, leapSeconds: leapSeconds) + body + Array(footer.utf8)
  }

  private func header(times: Int, types: Int, leapSeconds: Int) -> [UInt8] {
    Array(magic.utf8) + [version] + [UInt8](repeating: 0, count: 15)
      + [0, 0, leapSeconds, times, types, 4].flatMap { bigEndian(Int32($0)) }
  }

  private func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
  }
}

/// A zone database for one test, of zones that are called `Test/0`, `Test/1` and so on.
final class ZoneDirectory {
  let path: String

  init(_ files: [[UInt8]]) throws {
    path = NSTemporaryDirectory() + "martlet-zones-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: "\(path)/Test", withIntermediateDirectories: true)
    for (index, file) in files.enumerated() {
      try Data(file).write(to: URL(fileURLWithPath: "\(path)/Test/\(index)"))
    }
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }

  var database: ZoneDatabase {
    ZoneDatabase(directories: [path])
  }
}
