// A time of day that is wrong for one program alone, constantly or by jumps (Tests/WrongClock).

internal import Foundation
internal import NIOHTTP1
internal import Testing

/// A clock that can be set while its program runs.
struct WrongClock: Sendable {
  private let file: URL
  private let preloadFile: URL

  init(named name: String, preload: URL, in scene: Scene) throws {
    file = scene.file("clock of \(name)")
    preloadFile = preload
    try Data(count: MemoryLayout<Int64>.size).write(to: file)
  }

  /// For the program.
  var environment: [String: String] { ["LD_PRELOAD": preloadFile.path, "WRONG_CLOCK_FILE": file.path] }

  /// From this moment on it is wrong by so many seconds. The program has the file in its memory.
  func jump(to seconds: Int) throws {
    let handle = try FileHandle(forWritingTo: file)
    try handle.write(contentsOf: withUnsafeBytes(of: Int64(seconds)) { Data($0) })
    try handle.close()
  }

  /// What goes into LD_PRELOAD, made anew for each scene.
  static func preload(in scene: Scene) async throws -> URL {
    let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../WrongClock/wrong-clock.c").standardizedFileURL
    let preload = scene.file("wrong-clock.so")
    try await scene.system("clang", ["-shared", "-fPIC", "-o", preload.path, source.path, "-ldl"])
    return preload
  }

  /// How many seconds a node's clock is ahead, by the date of an answer.
  static func error(of api: API) async throws -> Double {
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
    let date = try await api.get("/health/live").headers.first(name: "Date")
    return try #require(date.flatMap { formatter.date(from: $0) }).timeIntervalSinceNow
  }
}
