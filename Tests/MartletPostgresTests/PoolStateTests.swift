// The pool's rules, without a database, threads or waiting.

internal import Testing

@testable internal import MartletPostgres

struct PoolStateTests {
  private final class Member: Sendable {}
  private typealias State = PoolState<Member, Int>

  private let start = ContinuousClock.now
  private let limits = ConnectionSettings.Limits()

  private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

  /// A pool with so many idle connections.
  private func pool(_ size: Int) -> State {
    var state = State(size: size, limits: limits)
    for _ in 0..<size { _ = state.ask(0, .hot, now: start) }
    let members = (0..<size).map { _ in Member() }
    for member in members { _ = state.opened(member, now: start) }
    for member in members { _ = state.answered(member, now: start) }
    return state
  }

  @Test func `Connections are opened when they are needed, and kept`() {
    var state = State(size: 2, limits: limits)
    #expect(state.ask(1, .hot, now: start).open == 1)
    #expect(state.ask(2, .hot, now: start).open == 1)
    #expect(state.ask(3, .hot, now: start).open == 0)
    let member = Member()
    #expect(state.opened(member, now: start).give.map(\.waiter) == [1])
    #expect(state.answered(member, now: start).give.map(\.waiter) == [2])
    #expect(state.answered(member, now: start).give.map(\.waiter) == [3])
    #expect(state.answered(member, now: start).give.isEmpty)
    #expect(state.opened(Member(), now: start).give.isEmpty)
    #expect(state.ask(4, .hot, now: start).open == 0)
  }

  @Test func `Who came first is served first`() {
    var state = pool(1)
    let member = state.ask(1, .hot, now: start).give[0].member
    for waiter in 2...4 { #expect(state.ask(waiter, .hot, now: start).give.isEmpty) }
    for waiter in 2...4 { #expect(state.answered(member, now: start).give.map(\.waiter) == [waiter]) }
  }

  @Test func `Background work leaves the last connection to others`() {
    var state = pool(3)
    let first = state.ask(1, .background, now: start).give
    #expect(state.ask(2, .background, now: start).give.count == 1)
    #expect(state.ask(3, .background, now: start).give.isEmpty)
    #expect(state.ask(4, .hot, now: start).give.map(\.waiter) == [4])
    #expect(state.ask(5, .hot, now: start).give.isEmpty)
    // The freed connection goes to the background's turn, which came before.
    #expect(state.answered(first[0].member, now: start).give.map(\.waiter) == [3])
  }

  @Test func `A hot call passes background work that has to wait for its limit`() {
    var state = pool(2)
    #expect(state.ask(1, .background, now: start).give.count == 1)
    let hot = state.ask(2, .hot, now: start).give
    #expect(state.ask(3, .background, now: start).give.isEmpty)
    #expect(state.ask(4, .hot, now: start).give.isEmpty)
    #expect(state.answered(hot[0].member, now: start).give.map(\.waiter) == [4])
  }

  @Test func `With one connection background work has it too`() {
    var state = pool(1)
    #expect(state.ask(1, .background, now: start).give.count == 1)
  }

  // MARK: Trouble

  @Test func `Without a connection a call waits for a moment and is refused with the reason`() {
    var state = State(size: 2, limits: limits)
    #expect(state.ask(1, .hot, now: start).open == 1)
    #expect(state.nextTick(now: start) == at(0.4))
    #expect(state.tick(now: at(0.39)).refuse.isEmpty)
    #expect(state.tick(now: at(0.4)).refuse.map(\.reason) == ["no connection to the database within 400 ms"])
    _ = state.ask(2, .hot, now: at(1))
    #expect(state.openFailed("gone fishing", jitter: 0.5, now: at(1.1)).refuse.isEmpty)
    #expect(state.tick(now: at(1.41)).refuse.map(\.reason) == ["gone fishing"])
  }

  @Test func `While nothing can be reached there is one try at a time, ever more rarely`() {
    var state = State(size: 4, limits: limits)
    #expect(state.ask(1, .hot, now: start).open == 1)
    var now = start
    var pauses: [Double] = []
    for _ in 0..<8 {
      #expect(state.openFailed("no", jitter: 1, now: now).open == 0)
      guard let next = state.nextTick(now: now) else { break }
      // Those who wait are refused on the way; the tries go on without them.
      var due = next
      while state.tick(now: due).open == 0, let later = state.nextTick(now: due) { due = later }
      pauses.append(now.duration(to: due) / .seconds(1))
      now = due
      #expect(state.ask(2, .hot, now: now).open == 0)
    }
    #expect(pauses == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5, 0.5])
  }

  @Test func `A call is refused at once when the next try comes too late for it`() {
    var state = State(size: 1, limits: limits)
    _ = state.ask(1, .hot, now: start)
    for _ in 0..<5 {
      _ = state.openFailed("no", jitter: 1, now: start)
      _ = state.tick(now: at(10))
    }
    _ = state.openFailed("no", jitter: 1, now: at(10))
    _ = state.ask(2, .hot, now: at(10))
    #expect(state.nextTick(now: at(10)) == at(10))
    #expect(state.tick(now: at(10)).refuse.map(\.waiter) == [2])
  }

  @Test func `Loss and return are reported once`() {
    var state = State(size: 1, limits: limits)
    _ = state.ask(1, .hot, now: start)
    #expect(state.openFailed("no", jitter: 0, now: start).report == "the database cannot be reached: no")
    #expect(state.tick(now: at(1)).open == 1)
    #expect(state.openFailed("no", jitter: 0, now: at(1)).report == nil)
    #expect(state.tick(now: at(5)).open == 1)
    #expect(state.opened(Member(), now: at(5)).report == "the database is back")
    let broken = state.ask(2, .hot, now: at(6)).give[0].member
    #expect(state.broke(broken, isTimeout: false, now: at(6)).report == nil)
  }

  @Test func `Whom a broken connection leaves waiting has a moment to get another`() {
    var state = pool(1)
    let member = state.ask(1, .hot, now: start).give[0].member
    _ = state.ask(2, .hot, now: at(1))
    #expect(state.broke(member, isTimeout: false, now: at(1.9)).open == 1)
    #expect(state.tick(now: at(2.2)).refuse.isEmpty)
    #expect(state.tick(now: at(2.31)).refuse.map(\.waiter) == [2])
  }

  @Test func `When one call has no answer in time, idle connections are not trusted either`() {
    var state = pool(3)
    let given = state.ask(1, .hot, now: start).give[0].member
    #expect(state.broke(given, isTimeout: true, now: at(5)).end.count == 3)
    #expect(state.ask(2, .hot, now: at(5)).open == 1)
  }

  @Test func `All connections busy for long is a refusal`() {
    var state = pool(2)
    _ = state.ask(1, .background, now: start)
    _ = state.ask(2, .background, now: start)
    #expect(state.tick(now: at(4.9)).refuse.isEmpty)
    #expect(state.tick(now: at(5)).refuse.map(\.reason) == ["all connections to the database are busy"])
  }

  // MARK: Silence

  @Test func `A server that says nothing is not asked more`() {
    var state = pool(3)
    let given = state.ask(1, .hot, now: start).give[0].member
    _ = state.ask(2, .hot, now: at(1))
    #expect(state.ask(3, .hot, now: at(2)).refuse.map(\.reason) == ["the database does not answer"])
    #expect(state.answered(given, now: at(2.1)).refuse.isEmpty)
    #expect(state.ask(4, .hot, now: at(2.2)).give.count == 1)
  }

  @Test func `Who waits while the server falls silent is refused`() {
    var state = pool(1)
    _ = state.ask(1, .hot, now: start)
    _ = state.ask(2, .hot, now: at(0.5))
    #expect(state.nextTick(now: at(0.5)) == at(2))
    #expect(state.tick(now: at(2)).refuse.map(\.waiter) == [2])
  }

  @Test func `Background work may be silent for long`() {
    var state = pool(2)
    _ = state.ask(1, .background, now: start)
    #expect(state.ask(2, .hot, now: at(30)).give.count == 1)
  }

  // MARK: The end

  @Test func `Closing refuses all who wait and come, and ends each connection`() {
    var state = pool(2)
    let given = state.ask(1, .hot, now: start).give[0].member
    _ = state.ask(2, .hot, now: start)
    _ = state.ask(3, .hot, now: start)
    let work = state.close()
    #expect(work.refuse.map(\.reason) == ["the store is closed"])
    #expect(!state.isAtRest)
    #expect(state.answered(given, now: start).end.count == 1)
    #expect(state.ask(4, .hot, now: start).refuse.map(\.reason) == ["the store is closed"])
    #expect(state.opened(Member(), now: start).end.count == 1)
    #expect(state.nextTick(now: start) == nil)
  }
}
