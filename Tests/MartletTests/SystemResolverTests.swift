// Look-ups of names by a resolver whose name server is the test's own: which of them are made at all, and which are refused.

import Dispatch
import MartletCore
import MartletEngine
import Synchronization
import Testing

@testable import Martlet

@Suite("A look-up of a name", .timeLimit(.minutes(5)))
struct SystemResolverTests {
  /// Answers, and counts. The name that is held is answered once the test lets it go.
  private final class NameServer: Sendable {
    private let asked = Mutex<[String]>([])
    private let held: Mutex<String?>
    private let gate = DispatchSemaphore(value: 0)

    init(holding held: String? = nil) {
      self.held = Mutex(held)
    }

    var names: [String] { asked.withLock(\.self) }

    /// Called on the resolver's own threads, which may block.
    func answer(_ host: String) throws -> [IPAddress] {
      asked.withLock { $0.append(host) }
      if held.withLock({ $0 == host }) { gate.wait() }
      if host.hasPrefix("bad") { throw TaskFailure.retry("\(host) is not known", type: "DNS_FAILED") }
      return ["1.1.1.1"].compactMap { IPAddress($0) }
    }

    func letGo() {
      held.withLock { $0 = nil }
      gate.signal()
    }

    func isAsked(for host: String) async {
      while !names.contains(host) { await Task.yield() }
    }
  }

  private final class Count: Sendable {
    private let count = Mutex(0)

    var now: Int { count.withLock(\.self) }

    func rise() { count.withLock { $0 += 1 } }
  }

  private final class HandClock: EngineClock {
    private let time = Mutex(MonotonicTime(nanoseconds: 0))

    var now: MonotonicTime { time.withLock(\.self) }

    func advance(by duration: Duration) { time.withLock { $0 = $0 + duration } }

    func sleep(until deadline: MonotonicTime) async throws { throw CancellationError() }
  }

  private func resolver(_ names: NameServer, threads: Int, clock: HandClock = HandClock()) -> SystemResolver {
    SystemResolver(threads: threads, clock: clock) { try names.answer($0) }
  }

  private func has(_ count: Int, _ resolver: SystemResolver) async {
    while resolver.callerCount != count { await Task.yield() }
  }

  @Test("that nobody waits for any more is not begun")
  func cancelled() async throws {
    let names = NameServer(holding: "slow.example")
    let resolver = resolver(names, threads: 1)
    let slow = Task { try await resolver.addresses(of: "slow.example") }
    await names.isAsked(for: "slow.example")
    let waiting = Task { try await resolver.addresses(of: "left.example") }
    await has(2, resolver)
    waiting.cancel()
    await #expect(throws: CancellationError.self) { try await waiting.value }
    names.letGo()
    #expect(try await slow.value.count == 1)
    #expect(try await resolver.addresses(of: "last.example").count == 1)
    #expect(names.names == ["slow.example", "last.example"])
  }

  @Test("is shared by all who ask for the name meanwhile, also where the first of them has left")
  func shared() async throws {
    let names = NameServer(holding: "a.example")
    let resolver = resolver(names, threads: 4)
    let first = Task { try await resolver.addresses(of: "a.example") }
    await names.isAsked(for: "a.example")
    first.cancel()
    await #expect(throws: CancellationError.self) { try await first.value }
    try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<20 { group.addTask { try await resolver.addresses(of: "a.example").count } }
      await has(20, resolver)
      names.letGo()
      let found = try await group.reduce(0, +)
      #expect(found == 20)
    }
    #expect(names.names == ["a.example"])
  }

  @Test("that has failed fails for some seconds without being made")
  func remembered() async throws {
    let names = NameServer()
    let clock = HandClock()
    let resolver = resolver(names, threads: 1, clock: clock)
    for _ in 0..<5 {
      await #expect { try await resolver.addresses(of: "bad.example") } throws: { error in
        (error as? TaskFailure)?.error.type == "DNS_FAILED" && (error as? TaskFailure)?.isRetryable == true
      }
    }
    #expect(names.names.count == 1)
    clock.advance(by: .seconds(3))
    await #expect(throws: TaskFailure.self) { try await resolver.addresses(of: "bad.example") }
    #expect(names.names.count == 2)
    for _ in 0..<2 { #expect(try await resolver.addresses(of: "good.example").count == 1) }
    #expect(names.names.count == 4, "what was found is not remembered: names may change their mind")
  }

  @Test("is refused for now where too many wait, and no other resolver is held up by that")
  func tooMany() async throws {
    let names = NameServer(holding: "slow.example")
    let resolver = resolver(names, threads: 1)
    let slow = Task { try await resolver.addresses(of: "slow.example") }
    await names.isAsked(for: "slow.example")
    let refused = Count()
    try await withThrowingTaskGroup(of: Int.self) { group in
      for number in 0..<300 {
        group.addTask {
          do {
            return try await resolver.addresses(of: "\(number).example").count
          } catch let failure as TaskFailure {
            #expect(failure.isRetryable && failure.error.message.contains("too many"))
            refused.rise()
            return 0
          }
        }
      }
      // 256 have found a place beside the one that is being looked up; the others are told at once.
      await has(257, resolver)
      while refused.now < 44 { await Task.yield() }
      let other = try await self.resolver(NameServer(), threads: 1).addresses(of: "other.example")
      #expect(other.count == 1)
      names.letGo()
      let found = try await group.reduce(0, +)
      #expect(found == 256)
    }
    #expect(try await slow.value.count == 1)
    #expect(refused.now == 44)
    #expect(SystemResolver.shared !== SystemResolver.ofNotices)
  }
}
