// Where an export goes, and how far it has come: the file, and beside it FILE.cursor, which is replaced as a whole once the file is on
// the disk. Whatever is in the file beyond what FILE.cursor says is cut off by whoever goes on, so no task is there twice.

internal import Dispatch
internal import Foundation
internal import MartletCore
internal import Synchronization

struct ExportFailure: Error {
  var message: String
  var isUsage = false
}

final class ExportPlace: Sendable {
  private let descriptor: Int32
  /// Nil for the standard output, which cannot be gone on with.
  private let path: String?
  private let filter: String
  private let state: Mutex<State>
  /// Writing blocks: it is done on a thread of this queue.
  private let queue = DispatchQueue(label: "martlet.export")

  /// Bytes after which the file is brought to the disk.
  private static let checkpointAfter: Int64 = 256 << 10

  private init(_ descriptor: Int32, path: String?, filter: String, _ state: State = State()) {
    self.descriptor = descriptor
    self.path = path
    self.filter = filter
    self.state = Mutex(state)
  }

  /// What is there already.
  var tasks: Int { state.withLock(\.tasks) }

  /// Where the next page begins; nil at the beginning.
  var cursor: String? { state.withLock(\.cursor) }

  static func standardOutput() -> ExportPlace { ExportPlace(STDOUT_FILENO, path: nil, filter: "") }

  static func beginning(_ path: String, filter: String) throws(ExportFailure) -> ExportPlace {
    for name in [path, path + ".cursor"] where FileManager.default.fileExists(atPath: name) {
      throw ExportFailure(
        message: "there is a file \(name) already; --resume goes on with an export that was cut short")
    }
    // First what says that it has begun: a file without it is a complete one.
    try write(State(filter: filter), beside: path)
    let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure("create", path) }
    return ExportPlace(descriptor, path: path, filter: filter)
  }

  static func resuming(_ path: String, filter: String) throws(ExportFailure) -> ExportPlace {
    guard let data = FileManager.default.contents(atPath: path + ".cursor") else {
      throw ExportFailure(
        message: "there is no \(path).cursor: the export is complete, or was never begun", isUsage: true)
    }
    guard let state = State(Array(data)) else { throw ExportFailure(message: "\(path).cursor cannot be read") }
    guard state.filter == filter else {
      throw ExportFailure(
        message: "\(path) was begun with other filters (\(state.filter)): the same are needed to go on", isUsage: true)
    }
    let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure("open", path) }
    do throws(ExportFailure) {
      guard lseek(descriptor, 0, SEEK_END) >= state.bytes else {
        throw ExportFailure(message: "\(path) is shorter than \(path).cursor says: it is not the same file")
      }
      guard ftruncate(descriptor, off_t(state.bytes)) == 0, lseek(descriptor, 0, SEEK_END) == state.bytes else {
        throw failure("go on with", path)
      }
    } catch {
      Foundation.close(descriptor)
      throw error
    }
    return ExportPlace(descriptor, path: path, filter: filter, state)
  }

  /// - Parameter cursor: where the next page begins; nil after the last.
  func append(_ bytes: [UInt8], tasks: Int, cursor: String?) async throws(ExportFailure) {
    try await onQueue { [self] () throws(ExportFailure) in
      try Self.write(bytes, to: descriptor, path ?? "standard output")
      let (now, isDue) = state.withLock { state in
        state.bytes += Int64(bytes.count)
        state.tasks += tasks
        state.cursor = cursor
        return (state, cursor != nil && state.bytes - state.sureBytes >= Self.checkpointAfter)
      }
      if isDue { try checkpoint(now) }
    }
  }

  /// All is there: brought to the disk, and nothing is left to go on with.
  func finish() async throws(ExportFailure) {
    guard let path else { return }
    try await onQueue { [self] () throws(ExportFailure) in
      try Self.sync(descriptor, path)
      state.withLock { $0.isFinished = true }
      guard unlink(path + ".cursor") == 0 else { throw Self.failure("remove", path + ".cursor") }
      try Self.syncFolder(of: path)
    }
  }

  /// What was written before a failure need not be written again.
  func close() async {
    guard path != nil else { return }
    // If that fails too, the last checkpoint stands.
    try? await onQueue { [self] () throws(ExportFailure) in
      defer { Foundation.close(descriptor) }
      let now = state.withLock(\.self)
      if !now.isFinished { try checkpoint(now) }
    }
  }

  private func onQueue(_ work: @escaping @Sendable () throws(ExportFailure) -> Void) async throws(ExportFailure) {
    let result: Result<Void, ExportFailure> = await withCheckedContinuation { continuation in
      queue.async {
        do throws(ExportFailure) {
          try work()
          continuation.resume(returning: .success(()))
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    }
    try result.get()
  }

  private func checkpoint(_ now: State) throws(ExportFailure) {
    guard let path else { return }
    try Self.sync(descriptor, path)
    var now = now
    now.filter = filter
    try Self.write(now, beside: path)
    state.withLock { $0.sureBytes = now.bytes }
  }

  private static func write(_ state: State, beside path: String) throws(ExportFailure) {
    let name = path + ".cursor"
    let new = open(name + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard new >= 0 else { throw failure("create", name + ".new") }
    defer { Foundation.close(new) }
    try write(state.json, to: new, name + ".new")
    try sync(new, name + ".new")
    guard rename(name + ".new", name) == 0 else { throw failure("replace", name) }
    try syncFolder(of: path)
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32, _ name: String) throws(ExportFailure) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno == EPIPE, descriptor == STDOUT_FILENO {
        exit(ExitStatus.done.rawValue)  // `martlet export | head`: the reader has what it wanted
      } else if errno != EINTR, errno != EAGAIN {
        throw failure("write", name)
      }
    }
  }

  private static func sync(_ descriptor: Int32, _ name: String) throws(ExportFailure) {
    // A pipe or a terminal that --output names has nothing to bring to a disk.
    guard fsync(descriptor) == 0 || errno == EINVAL else { throw failure("bring to the disk", name) }
  }

  private static func syncFolder(of path: String) throws(ExportFailure) {
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
    let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("open", folder) }
    defer { Foundation.close(descriptor) }
    try sync(descriptor, folder)
  }

  private static func failure(_ verb: String, _ name: String) -> ExportFailure {
    ExportFailure(message: "cannot \(verb) \(name): \(String(cString: strerror(errno)).lowercased())")
  }
}

extension ExportPlace {
  /// What FILE.cursor says.
  fileprivate struct State {
    var filter = ""
    var cursor: String?
    /// Of the file.
    var bytes: Int64 = 0
    var tasks = 0
    /// As the last checkpoint says.
    var sureBytes: Int64 = 0
    var isFinished = false

    init(filter: String = "", cursor: String? = nil, bytes: Int64 = 0, tasks: Int = 0) {
      self.filter = filter
      self.cursor = cursor
      self.bytes = bytes
      self.tasks = tasks
      sureBytes = bytes
    }

    init?(_ json: [UInt8]) {
      guard let object = try? JSONScanner.scan(json), let filter = object["filter"]?.string,
        let bytes = object["bytes"]?.int, let tasks = object["tasks"]?.int, bytes >= 0
      else { return nil }
      self.init(filter: filter, cursor: object["cursor"]?.string, bytes: Int64(bytes), tasks: tasks)
    }

    var json: [UInt8] {
      var json = JSONWriter()
      json.object { json in
        json.field("filter", filter)
        json.field("cursor", cursor)
        json.field("bytes", Int(bytes))
        json.field("tasks", tasks)
      }
      return json.bytes
    }
  }
}
