// The dispatch queue, step by step, on a real Redis.

internal import MartletCore
internal import RedisServer
internal import Synchronization
internal import Testing

@testable internal import MartletRedis

let lane = Lane(queue: "default", type: "mail")
/// What the store's clock shows, where a test says so; all entries are due then unless they say otherwise.
private let noon = Timestamp(milliseconds: 1_700_000_000_000)

func entry(_ number: Int, _ lane: Lane = lane, priority: Int = 5, at: Timestamp? = nil) -> DispatchEntry {
  DispatchEntry(
    id: TaskID(high: 0x7000, low: 0x8000_0000_0000_0000 + UInt64(number)), lane: lane, priority: priority,
    availableAt: at ?? Timestamp(milliseconds: 1_600_000_000_000))
}

func request(_ lanes: [Lane] = [lane], limit: Int) -> TakeRequest {
  TakeRequest(lanes: lanes, limit: limit)
}

private let long = Duration.seconds(600)

struct DispatchTests {
  private func withDispatch(_ body: (RedisDispatch, RedisClient, RedisKeys) async throws -> Void) async throws {
    try await withSharedClient { client, keys in try await body(RedisDispatch(client, keys), client, keys) }
  }

  @Test func `What is taken is most urgent first, then by time, then by id, over all lanes of a request`() async throws
  {
    try await withDispatch { dispatch, _, _ in
      let other = Lane(queue: "bulk", type: "mail")
      let early = Timestamp(milliseconds: 1_500_000_000_000)
      let ordered = [
        entry(7, priority: 9), entry(8, other, priority: 9), entry(9, priority: 8), entry(3, other, at: early),
        entry(1), entry(2, other), entry(4), entry(5, priority: 1, at: early),
      ]
      try await dispatch.push(ordered.reversed())
      try await dispatch.push([entry(50, Lane(queue: "default", type: "other"), priority: 9)])
      #expect(try await dispatch.waiting(lane) == 5)
      let ids = try await dispatch.take(
        [request([lane, other], limit: 3), request([other, lane], limit: 100)], lock: long)
      #expect(ids[0] == ordered.prefix(3).map(\.id))
      #expect(ids[1] == ordered.dropFirst(3).map(\.id))
      #expect(try await dispatch.take([request([lane, other], limit: 9)], lock: long) == [[]])
      #expect(try await dispatch.lanes() == [Lane(queue: "default", type: "other")])
    }
  }

  @Test func `What is pushed twice is given out once, at its last place`() async throws {
    try await withDispatch { dispatch, _, _ in
      let other = Lane(queue: "bulk", type: "mail")
      try await dispatch.push([entry(1), entry(2), entry(1)])
      try await dispatch.push([entry(2, priority: 9), entry(1, other)])
      #expect(try await dispatch.waiting(lane) == 1)
      #expect(
        try await dispatch.take([request([lane, other], limit: 9)], lock: long)[0] == [entry(2).id, entry(1).id])
      try await dispatch.push([entry(1), entry(2)])
      #expect(try await dispatch.waiting(lane) == 0)
    }
  }

  @Test func `Nothing is given out before its time, and time is the store's where it is told`() async throws {
    try await withDispatch { dispatch, _, _ in
      let entries = (0..<3).map { entry($0, at: noon + .milliseconds($0)) }
      try await dispatch.push(entries, now: noon + .milliseconds(-1))
      #expect(try await dispatch.waiting(lane) == 0)
      #expect(try await dispatch.take([request(limit: 9)], lock: long, now: noon + .milliseconds(-1)) == [[]])
      #expect(try await dispatch.lanes(now: noon + .milliseconds(-1)).isEmpty)
      #expect(try await dispatch.lanes(now: noon) == [lane])
      #expect(
        try await dispatch.take([request(limit: 9)], lock: long, now: noon + .milliseconds(1))[0]
          == entries.prefix(2).map(\.id))
      // By Redis' own clock the last one is long due.
      #expect(try await dispatch.take([request(limit: 9)], lock: long)[0] == [entries[2].id])
    }
  }

  @Test func `A task that is put off, or brought forward, waits for its new time`() async throws {
    try await withDispatch { dispatch, _, _ in
      try await dispatch.push([entry(1), entry(2, at: noon + .seconds(9))], now: noon)
      try await dispatch.push([entry(1, at: noon + .seconds(9)), entry(2)], now: noon)
      #expect(try await dispatch.take([request(limit: 9)], lock: long, now: noon)[0] == [entry(2).id])
      #expect(try await dispatch.take([request(limit: 9)], lock: long, now: noon + .seconds(9))[0] == [entry(1).id])
    }
  }

  @Test func `A lock that ends gives its ids back to their lanes and places`() async throws {
    try await withDispatch { dispatch, _, _ in
      let entries = (0..<5).map { entry($0, priority: 9 - $0) }
      try await dispatch.push(entries)
      #expect(try await dispatch.take([request(limit: 3)], lock: .milliseconds(1))[0] == entries.prefix(3).map(\.id))
      var again: [TaskID] = []
      try await eventually("the lock ends") {
        again = try await dispatch.take([request(limit: 1)], lock: long)[0]
        if again != [entries[0].id] { try await dispatch.giveBack(again) }
        return again == [entries[0].id]
      }
      #expect(try await dispatch.take([request(limit: 9)], lock: long)[0] == entries.dropFirst().map(\.id))
      #expect(try await dispatch.unknown(among: entries).isEmpty)
    }
  }

  @Test func `A task that was pushed anew while taken comes back to its new place`() async throws {
    try await withDispatch { dispatch, _, _ in
      try await dispatch.push([entry(1), entry(2)])
      #expect(try await dispatch.take([request(limit: 9)], lock: .zero, now: noon)[0].count == 2)
      try await dispatch.push([entry(1, at: noon + .seconds(9)), entry(2, priority: 9)], now: noon)
      #expect(try await dispatch.take([request(limit: 9)], lock: long, now: noon)[0] == [entry(2).id])
      #expect(try await dispatch.take([request(limit: 9)], lock: long, now: noon + .seconds(9))[0] == [entry(1).id])
    }
  }

  @Test func `What is confirmed is forgotten, and what is given back can be taken`() async throws {
    try await withDispatch { dispatch, client, keys in
      let entries = (0..<4).map { entry($0) }
      try await dispatch.push(entries)
      let taken = try await dispatch.take([request(limit: 3)], lock: long)[0]
      try await dispatch.confirm([taken[0]])
      try await dispatch.giveBack([taken[1]])
      // Neither has any effect on what is not taken.
      try await dispatch.giveBack([taken[0], entries[3].id, entry(99).id])
      try await dispatch.confirm([taken[1], entries[3].id, entry(99).id])
      #expect(try await dispatch.unknown(among: entries) == [entries[0]])
      #expect(try await dispatch.take([request(limit: 9)], lock: long)[0] == [entries[1].id, entries[3].id])
      try await dispatch.confirm(entries.map(\.id))
      #expect(try await client.call(RedisCommand("KEYS", keys.prefix + "*")) == .array([]))
    }
  }

  @Test func `The sweep learns of what Redis does not know, or only for later`() async throws {
    try await withDispatch { dispatch, _, _ in
      let waiting = entry(1)
      let taken = entry(2, priority: 9)
      let later = entry(3, at: noon + .seconds(9))
      let missing = entry(4)
      try await dispatch.push([waiting, taken, later], now: noon)
      #expect(try await dispatch.take([request(limit: 1)], lock: long, now: noon)[0] == [taken.id])
      #expect(try await dispatch.unknown(among: [waiting, taken, later, missing]) == [missing])
      #expect(try await dispatch.unknown(among: [entry(3, at: noon)]) == [entry(3, at: noon)])
    }
  }

  @Test func `Thousands go in one call, and the sweep names the right ones among them`() async throws {
    try await withDispatch { dispatch, _, _ in
      let entries = (0..<3500).map { entry($0) }
      try await dispatch.push(entries.filter { $0.id.low % 7 != 0 })
      #expect(try await dispatch.unknown(among: entries) == entries.filter { $0.id.low % 7 == 0 })
      try await dispatch.push(entries)
      #expect(try await dispatch.unknown(among: entries).isEmpty)
      let ids = try await dispatch.take([request(limit: 5000), request(limit: 1000)], lock: long)
      #expect(ids.map(\.count) == [1000, 1000])
      #expect(ids.flatMap(\.self) == entries.prefix(2000).map(\.id))
    }
  }

  @Test func `Whichever of its keys Redis throws away, what was in it is found missing and can be pushed again`()
    async throws
  {
    try await withDispatch { dispatch, client, keys in
      let entries = (0..<3).map { entry($0) } + [entry(3, at: noon + .seconds(9))]
      for key in [keys.due, keys.taken, keys.tasks, keys.lanes, keys.ready + lane.name] {
        try await dispatch.push(entries, now: noon)
        #expect(try await dispatch.take([request(limit: 1)], lock: .zero, now: noon)[0].count == 1)
        try await client.call(RedisCommand("DEL", key))
        // As often as it takes for what cannot find its way back to be dropped.
        for _ in 0..<2 {
          _ = try await dispatch.lanes(now: noon)
          try await dispatch.push(try await dispatch.unknown(among: entries), now: noon)
        }
        #expect(try await dispatch.lanes(now: noon) == [lane], "without \(key)")
        let ids = try await dispatch.take([request(limit: 9)], lock: long, now: noon + .seconds(9))[0]
        #expect(ids == entries.map(\.id), "without \(key)")
        try await dispatch.confirm(ids)
      }
    }
  }

  @Test func `Installations do not see each other's tasks`() async throws {
    try await withDispatch { dispatch, client, _ in
      try await dispatch.push([entry(1)])
      let other = RedisDispatch(client, newInstallation())
      #expect(try await other.take([request(limit: 9)], lock: long) == [[]])
      #expect(try await other.unknown(among: [entry(1)]) == [entry(1)])
    }
  }
}

struct ContentionTests {
  @Test func `8 takers over 20,000 ids get each exactly once`() async throws {
    let url = try await RedisServer.shared.url()
    let keys = newInstallation()
    let lanes = (0..<4).map { Lane(queue: "q\($0)", type: "mail") }
    let entries = (0..<20_000).map { entry($0, lanes[$0 % 4], priority: $0 % 9 + 1) }
    try await withClient(url) { try await RedisDispatch($0, keys).push(entries) }
    let seen = try await withThrowingTaskGroup(of: [TaskID].self) { group in
      for taker in 0..<8 {
        group.addTask {
          try await withClient(url) { client in
            let dispatch = RedisDispatch(client, keys)
            var mine: [TaskID] = []
            while true {
              let ids = try await dispatch.take([request(lanes, limit: 20 + taker)], lock: long)[0]
              if ids.isEmpty { return mine }
              mine += ids
              if taker % 2 == 0 { try await dispatch.confirm(ids) }
            }
          }
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    #expect(seen.count == 20_000)
    #expect(Set(seen) == Set(entries.map(\.id)))
  }

  @Test func `With FLUSHALL again and again under takers that die, a sweep still brings every task to its end`()
    async throws
  {
    try await withServer(.start()) { server in
      let keys = newInstallation()
      let entries = (0..<3000).map { entry($0) }
      let store = Ledger(entries)
      try await withClient(server.url()) { client in
        let dispatch = RedisDispatch(client, keys)
        try await dispatch.push(entries)
        try await withThrowingTaskGroup(of: Void.self) { group in
          for taker in 0..<3 {
            group.addTask {
              var rounds = 0
              while !store.isEmpty {
                let ids = try await dispatch.take([request(limit: 10)], lock: .milliseconds(20))[0]
                rounds += 1
                if rounds % 5 == taker { continue }  // dies before its claim
                store.claim(ids)
                if rounds % 7 != taker { try await dispatch.confirm(ids) }  // dies after it
              }
            }
          }
          group.addTask {
            while !store.isEmpty {
              let missing = try await dispatch.unknown(among: store.waiting)
              store.forgot(missing.count)
              try await dispatch.push(missing)
            }
          }
          group.addTask {
            while !store.isEmpty { try await server.flush() }
          }
          try await group.waitForAll()
        }
      }
      #expect(store.claims.count == 3000)
      #expect(store.claims.values.allSatisfy { $0 == 1 })
      #expect(store.forgotten > 0, "no FLUSHALL met anything")
    }
  }

  @Test func `After FLUSHALL everything is unknown, and pushing it again works`() async throws {
    try await withServer(.start()) { server in
      try await withClient(server.url()) { client in
        let dispatch = RedisDispatch(client, newInstallation())
        let entries = (0..<2000).map { entry($0) }
        try await dispatch.push(entries)
        let taken = try await dispatch.take([request(limit: 10)], lock: long)[0]
        try await server.flush()
        try await dispatch.confirm(taken)
        try await dispatch.giveBack(taken)
        #expect(try await dispatch.unknown(among: entries) == entries)
        try await dispatch.push(entries)
        #expect(try await dispatch.unknown(among: entries).isEmpty)
        #expect(try await dispatch.take([request(limit: 1000)], lock: long)[0] == entries.prefix(1000).map(\.id))
      }
    }
  }
}

/// A store: what it has claimed it does not give out again.
private final class Ledger: Sendable {
  private let state: Mutex<(ready: [TaskID: DispatchEntry], claims: [TaskID: Int], forgotten: Int)>

  init(_ entries: [DispatchEntry]) {
    state = Mutex((Dictionary(uniqueKeysWithValues: entries.map { ($0.id, $0) }), [:], 0))
  }

  var isEmpty: Bool { state.withLock { $0.ready.isEmpty } }
  var waiting: [DispatchEntry] { state.withLock { Array($0.ready.values) } }
  var claims: [TaskID: Int] { state.withLock { $0.claims } }
  var forgotten: Int { state.withLock { $0.forgotten } }

  func claim(_ ids: [TaskID]) {
    state.withLock { state in
      for id in ids where state.ready.removeValue(forKey: id) != nil { state.claims[id, default: 0] += 1 }
    }
  }

  func forgot(_ count: Int) {
    state.withLock { $0.forgotten += count }
  }
}
