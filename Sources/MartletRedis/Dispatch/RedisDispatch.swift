// The dispatch queue in Redis: which READY tasks wait, in which order, and who is about to claim which. It holds ids only and
// decides nothing: what is taken here has still to be claimed in the store, whose lease is the only one. Whatever Redis forgets a
// sweep finds (`unknown`) and pushes again; whatever it gives out twice the store gives out once.

package import MartletCore

package struct RedisDispatch: Sendable {
  private let client: RedisClient
  private let keys: RedisKeys
  /// The most that one script is given: others wait while it runs.
  private static let batch = 1000

  package init(_ client: RedisClient, _ keys: RedisKeys) {
    self.client = client
    self.keys = keys
  }

  /// Puts tasks into their lanes, or lets them wait for their time. One that is there already gets its new place; one that is taken
  /// stays so.
  /// - Parameter now: the store's time, by which `availableAt` is meant; nil for that of Redis.
  package func push(_ entries: [DispatchEntry], now: Timestamp? = nil) async throws(RedisError) {
    try await run(DispatchScripts.push, entries, now) { arguments, entry in
      arguments.add(entry.id.description)
      arguments.add(entry.score)
      arguments.add(entry.lane.name)
    }
  }

  /// Takes what is due, most urgent first over all lanes of a request, at most 1,000 for each. The ids are locked: nobody else gets
  /// them, until they are given back or the lock ends. One answer per request, in order.
  /// - Parameters:
  ///   - lock: by the clock of Redis; long enough for the store's claim.
  ///   - now: as in `push`.
  package func take(
    _ requests: [TakeRequest], lock: Duration, now: Timestamp? = nil
  ) async throws(RedisError) -> [[TaskID]] {
    let calls = requests.map { request in
      call(now) { arguments in
        arguments.add(max(0, lock.wholeMilliseconds))
        arguments.add(Int64(min(max(request.limit, 0), Self.batch)))
        for lane in request.lanes { arguments.add(lane.name) }
      }
    }
    return try await client.run(DispatchScripts.take, calls).map { reply in
      (reply.array ?? []).compactMap { $0.string.flatMap { TaskID($0) } }
    }
  }

  /// The store's claim has them, or the store has said that they are not to be had: they are forgotten.
  package func confirm(_ ids: [TaskID]) async throws(RedisError) {
    try await run(DispatchScripts.confirm, ids) { $0.add($1.description) }
  }

  /// They were not claimed, and others may.
  package func giveBack(_ ids: [TaskID], now: Timestamp? = nil) async throws(RedisError) {
    try await run(DispatchScripts.giveBack, ids, now) { $0.add($1.description) }
  }

  /// Those of the entries that Redis has to be told of: it has them neither waiting nor taken, or waiting for a later time.
  package func unknown(among entries: [DispatchEntry]) async throws(RedisError) -> [DispatchEntry] {
    let replies = try await run(DispatchScripts.unknown, entries) { arguments, entry in
      arguments.add(entry.id.description)
      arguments.add(entry.time)
      arguments.add(entry.lane.name)
    }
    return replies.enumerated().flatMap { part, reply in
      (reply.array ?? []).compactMap { place in
        let index = part * Self.batch + Int(place.integer ?? 0) - 1
        return entries.indices.contains(index) ? entries[index] : nil
      }
    }
  }

  /// Returns if Redis answers.
  package func check() async throws(RedisError) {
    try await client.call(RedisCommand("EXISTS", keys.sweep))
  }

  /// True for the first of all nodes in each such time, and for the first after Redis has forgotten everything.
  package func takeTurn(for duration: Duration) async throws(RedisError) -> Bool {
    let command = RedisCommand("SET", keys.sweep, "1", "NX", "PX", "\(max(1, duration.wholeMilliseconds))")
    return try await client.call(command) != .null
  }

  /// How many ids wait in a lane to be taken.
  package func waiting(_ lane: Lane) async throws(RedisError) -> Int {
    Int(try await client.call(RedisCommand("ZCARD", keys.ready + lane.name)).integer ?? 0)
  }

  /// The lanes in which something waits to be taken.
  /// - Parameter now: as in `push`.
  package func lanes(now: Timestamp? = nil) async throws(RedisError) -> [Lane] {
    let replies = try await client.run(DispatchScripts.lanes, [call(now) { _ in }])
    return (replies[0].array ?? []).compactMap { $0.string.flatMap { Lane(name: $0) } }
  }

  @discardableResult
  private func run<Item>(
    _ script: RedisScript, _ items: [Item], _ now: Timestamp? = nil, _ write: (inout RedisCommand, Item) -> Void
  ) async throws(RedisError) -> [RedisValue] {
    let calls = stride(from: 0, to: items.count, by: Self.batch).map { start in
      call(now) { arguments in
        for item in items[start..<min(start + Self.batch, items.count)] { write(&arguments, item) }
      }
    }
    return try await client.run(script, calls)
  }

  private func call(_ now: Timestamp?, _ write: (inout RedisCommand) -> Void) -> RedisScript.Call {
    var arguments = RedisCommand(keys.ready, now.map { String($0.milliseconds) } ?? "")
    write(&arguments)
    return RedisScript.Call(keys: [keys.due, keys.taken, keys.tasks, keys.lanes], arguments)
  }
}
