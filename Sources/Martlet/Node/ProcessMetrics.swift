// What this process uses of its machine, by the names that every Prometheus client has for it, and which build it is. Brought up to
// date at each scrape from files of the kernel that are made as they are read: nobody waits for a disk. On other systems than Linux
// there is only the build.

internal import Foundation
internal import MartletEngine
internal import Metrics
internal import Synchronization

final class ProcessMetrics: Sendable {
  private let cpu: any FloatingPointCounterHandler
  private let memory: any RecorderHandler
  private let virtualMemory: any RecorderHandler
  private let files: any RecorderHandler
  private let mostFiles: any RecorderHandler
  private let start: any RecorderHandler
  private let counted = Mutex(0.0)

  init?(factory: any MetricsFactory) {
    Self.gauge(.build, [("version", Version.current)], factory).record(Int64(1))
    guard ProcessUsage.now != nil else { return nil }
    cpu = factory.makeFloatingPointCounter(label: MetricName.processCPU.text, dimensions: [])
    memory = Self.gauge(.processMemory, [], factory)
    virtualMemory = Self.gauge(.processVirtualMemory, [], factory)
    files = Self.gauge(.processFiles, [], factory)
    mostFiles = Self.gauge(.processMostFiles, [], factory)
    start = Self.gauge(.processStart, [], factory)
  }

  func refresh() {
    guard let usage = ProcessUsage.now else { return }
    counted.withLock { counted in
      cpu.increment(by: usage.cpuSeconds - counted)
      counted = max(counted, usage.cpuSeconds)
    }
    memory.record(Int64(usage.residentBytes))
    virtualMemory.record(Int64(usage.virtualBytes))
    files.record(Int64(usage.openFiles))
    mostFiles.record(usage.mostFiles)
    start.record(usage.startedAt)
  }

  private static func gauge(
    _ name: MetricName, _ labels: [(String, String)], _ factory: any MetricsFactory
  ) -> any RecorderHandler {
    factory.makeRecorder(label: name.text, dimensions: labels, aggregate: false)
  }
}

/// By proc(5).
struct ProcessUsage: Sendable {
  var cpuSeconds: Double
  var residentBytes: Int
  var virtualBytes: Int
  var openFiles: Int
  /// Infinite where there is no limit.
  var mostFiles: Double
  /// Seconds since 1970.
  var startedAt: Double

  static var now: ProcessUsage? {
    #if os(Linux)
      guard let stat = text(of: "/proc/self/stat"), let kernel = text(of: "/proc/stat") else { return nil }
      let files = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
      return ProcessUsage(
        stat: stat, kernel: kernel, ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))),
        pageSize: sysconf(Int32(_SC_PAGESIZE)), openFiles: files, mostFiles: mostFilesAllowed)
    #else
      return nil
    #endif
  }

  /// - Parameters:
  ///   - stat: of the process.
  ///   - kernel: of the whole system; it knows when it was started.
  init?(
    stat: String, kernel: String, ticksPerSecond: Double, pageSize: Int, openFiles: Int, mostFiles: Double
  ) {
    // The program's name comes second, in parentheses, and may hold anything.
    guard let end = stat.lastIndex(of: ")") else { return nil }
    let fields = stat[end...].dropFirst().split(whereSeparator: \.isWhitespace)  // from the third on
    let boot = kernel.split(separator: "\n").first { $0.hasPrefix("btime ") }?.dropFirst(6)
    guard fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]),
      let started = Double(fields[19]), let virtual = Int(fields[20]), let resident = Int(fields[21]),
      let boot, let booted = Double(boot)
    else { return nil }
    cpuSeconds = (user + system) / ticksPerSecond
    startedAt = booted + started / ticksPerSecond
    virtualBytes = virtual
    residentBytes = resident * pageSize
    self.openFiles = openFiles
    self.mostFiles = mostFiles
  }

  #if os(Linux)
    private static var mostFilesAllowed: Double {
      var limit = rlimit()
      guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
      return limit.rlim_cur == UInt.max ? .infinity : Double(limit.rlim_cur)
    }

    /// Not by Foundation, which asks for the length first; these files say 0.
    private static func text(of path: String) -> String? {
      guard let file = fopen(path, "r") else { return nil }
      defer { fclose(file) }
      var bytes: [UInt8] = []
      var page = [UInt8](repeating: 0, count: 4096)
      while true {
        let count = fread(&page, 1, page.count, file)
        guard count > 0 else { break }
        bytes += page[..<count]
      }
      return String(decoding: bytes, as: UTF8.self)
    }
  #endif
}
