// The small parts: how commands are written, how scripts are named, how long the pauses are, how errors read.

internal import MartletCore
internal import NIOCore
internal import Testing

@testable internal import MartletRedis

struct PartsTests {
  @Test func `A command is an array of strings, whatever bytes they hold`() {
    var command = RedisCommand("SET", "käse")
    command.add([0, 13, 10])
    command.add(-5)
    command.add(RedisCommand([[120], []]))
    let written = Exchange.written([command, RedisCommand("PING")])
    #expect(
      String(buffer: written)
        == "*6\r\n$3\r\nSET\r\n$5\r\nkäse\r\n$3\r\n\0\r\n\r\n$2\r\n-5\r\n$1\r\nx\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n")
  }

  @Test func `Scripts are named by their SHA-1`() {
    #expect(RedisScript("").name == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
    #expect(RedisScript("abc").name == "a9993e364706816aba3e25717850c26c9cd0d89d")
  }

  @Test func `Pauses grow to the longest, and jitter takes up to a half of them`() {
    var backoff = Backoff(first: .milliseconds(100), longest: .milliseconds(500))
    #expect(backoff.next(jitter: 0) == .milliseconds(50))
    #expect(backoff.next(jitter: 0) == .milliseconds(100))
    #expect(backoff.next(jitter: 0.5) == .milliseconds(300))
    #expect(backoff.next(jitter: 0) == .milliseconds(250))
    #expect(backoff.next(jitter: 0) == .milliseconds(250))
    backoff.reset()
    #expect(backoff.next(jitter: 0) == .milliseconds(50))
  }

  @Test func `An error is one line, and one that passes by itself counts as absence`() {
    #expect(RedisError(reply: "WRONGPASS no") == .refused("WRONGPASS no"))
    #expect(RedisError(reply: "OOM full. script: 5e1f, on @user_script:12.") == .refused("OOM full."))
    #expect(RedisError(reply: "LOADING in memory") == .unavailable("LOADING in memory"))
    #expect(RedisError(reply: "ERR max number of clients reached") == .unavailable("ERR max number of clients reached"))
    #expect(RedisError(reply: String(repeating: "x", count: 1000)).message.count == 300)
  }

  @Test func `The score of a task is its urgency, then its time, and exact as a double`() {
    func entry(_ priority: Int, _ milliseconds: Int64) -> DispatchEntry {
      DispatchEntry(
        id: TaskID(high: 1, low: 1), lane: Lane(queue: "q", type: "t"), priority: priority,
        availableAt: Timestamp(milliseconds: milliseconds))
    }
    let ordered = [
      entry(9, -5), entry(9, 1), entry(9, Timestamp.latest.milliseconds), entry(5, 0), entry(5, 1_800_000_000_000),
      entry(5, 1_800_000_000_001), entry(1, 0), entry(1, .max),
    ].map(\.score)
    #expect(ordered == ordered.sorted())
    #expect(Set(ordered).count == ordered.count)
    for score in ordered { #expect(Int64(exactly: Double(score)) == score) }
    #expect(Lane(name: Lane(queue: "a.b:c", type: "d_e-f").name) == Lane(queue: "a.b:c", type: "d_e-f"))
  }
}
