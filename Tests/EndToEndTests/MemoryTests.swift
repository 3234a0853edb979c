// Where a server's memory lies. How it goes with the hours is what `make soak` looks at.

internal import Foundation
internal import Testing

extension EndToEnd {
  @Suite("Memory", .timeLimit(.minutes(10)))
  struct MemoryTests {
    /// glibc would make one for each thread, up to eight for each core.
    @Test func `what threads allocate lies in no more arenas than the machine has cores`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        for number in 0..<20 { _ = try await server.api.submit(#"{"type":"a","payload":{"number":\#(number)}}"#) }
        let process = "/proc/\(server.program.processID)"
        guard let maps = try? String(contentsOfFile: process + "/maps", encoding: .utf8) else { return }  // not Linux
        let threads = try FileManager.default.contentsOfDirectory(atPath: process + "/task").count
        let most = max(2, ProcessInfo.processInfo.activeProcessorCount)
        #expect(threads > most, "nothing is shown: each of \(threads) threads may have one")
        // The first is the heap itself.
        #expect(arenas(in: maps) < most, "of \(threads) threads")
        #expect(try await server.stop() == .exited(0))
      }
    }
  }
}

/// How many arenas there are besides the heap (proc(5)): each is reserved as 64 MiB at a multiple of 64 MiB, of which the first part may
/// be written (glibc, malloc/arena.c: HEAP_MAX_SIZE).
private func arenas(in maps: String) -> Int {
  let size = 64 << 20
  let regions = maps.split(separator: "\n").compactMap { line -> (start: Int, end: Int, isData: Bool)? in
    let words = line.split(separator: " ", omittingEmptySubsequences: true)
    let ends = words[0].split(separator: "-").compactMap { Int($0, radix: 16) }
    return ends.count == 2 ? (ends[0], ends[1], words[1] == "rw-p" && words.count == 5) : nil
  }
  return regions.enumerated().count { index, region in
    guard region.isData, region.start.isMultiple(of: size) else { return false }
    if region.end == region.start + size { return true }
    guard index + 1 < regions.count else { return false }
    let rest = regions[index + 1]
    return rest.start == region.end && rest.end == region.start + size && !rest.isData
  }
}
