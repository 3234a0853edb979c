// What the process tells of itself.

import Foundation
import MartletEngine
import Testing

@testable import Martlet

@Suite("Metrics of the process")
struct ProcessMetricsTests {
  private static let stat =
    "4711 (a) b (c) S 1 4711 4711 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1048576 300 18446744073709551615 0 0"

  @Test("are read from proc, whatever the program is called")
  func parsing() throws {
    let usage = try #require(
      ProcessUsage(
        stat: Self.stat, kernel: "cpu 1 2 3\nbtime 1700000000\nprocesses 9\n", ticksPerSecond: 100, pageSize: 4096,
        openFiles: 7, mostFiles: 1024))
    #expect(usage.cpuSeconds == 3)
    #expect(usage.startedAt == 1_700_000_123.45)
    #expect(usage.virtualBytes == 1_048_576)
    #expect(usage.residentBytes == 300 * 4096)
  }

  @Test("are left out where proc says something else")
  func nonsense() {
    for (stat, kernel) in [("", "btime 1"), ("1 (a) S", "btime 1"), (Self.stat, "cpu 1"), (Self.stat, "btime x")] {
      #expect(
        ProcessUsage(stat: stat, kernel: kernel, ticksPerSecond: 100, pageSize: 4096, openFiles: 1, mostFiles: 1) == nil
      )
    }
  }

  @Test("have the names that every Prometheus client gives them, and the build's version")
  func scrape() throws {
    let registry = PrometheusRegistry()
    let metrics = try #require(ProcessMetrics(factory: registry))
    for _ in 1...2 { metrics.refresh() }
    let text = registry.render()
    func value(_ name: String) throws -> Double {
      let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(name + " ") }, "\(name)")
      return try #require(Double(line.split(separator: " ")[1]))
    }
    #expect(text.contains("martlet_build_info{version=\"\(Version.current)\"} 1\n"))
    let used = try #require(ProcessUsage.now)
    #expect(try (0...used.cpuSeconds).contains(value("process_cpu_seconds_total")), "not counted twice")
    #expect(try value("process_resident_memory_bytes") > 1_000_000)
    #expect(try value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"))
    #expect(try (1...value("process_max_fds")).contains(value("process_open_fds")))
    #expect(try abs(value("process_start_time_seconds") - Date().timeIntervalSince1970) < 86_400)
  }
}
