// What goes in comes out, byte for byte. Swift calls strings equal that Unicode calls equivalent, so texts are compared as
// bytes here.

import MartletCore
import MartletTestKit
import Testing

@Suite struct RoundTripTests {
  static let payloads: [String] = [
    "null", "0", "\"\"", "{}", "[]", "  {\"b\" : 1,\n\t\"a\":2 , \"a\":3}\r\n", #"{"nul":"\u0000","lone":"\ud800"}"#,
    #"{"big":123456789012345678901234567890.000,"exp":1E+400,"neg":-0.0}"#,
    "\"é and e\u{301}, 👩‍👩‍👧‍👦, \u{FFFF}, \u{10FFFF}\"",
    "\"'; DROP TABLE tasks; -- \\\\ %s %00 ?1 $1\"", "\"\u{7F}\u{2028}\u{FEFF}\"",
    "\"" + String(repeating: "x", count: 300_000) + "\"",
  ]

  /// Texts as handlers and clients may send them, with everything that a careless column, quote or C string would spoil.
  static let texts: [String] = [
    "", " ", "plain", "a\u{0}b", "\u{0}", "é", "e\u{301}", "👩‍👩‍👧‍👦", "line\nline\r\n\ttab", "\"quotes\" 'and' `more`",
    "back\\slash \\u0000 \\n", "%s %d ?1 :name $1 @x", "\u{FFFD}\u{FFFF}\u{10FFFF}", "[\"a\"]", "{}", "null", "NULL",
    "1", "1.0",
    String(repeating: "long ", count: 5000),
  ]

  @Test(arguments: stores)
  func `a payload is answered and handed out byte for byte`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(Self.payloads.enumerated().map { .stub($0.offset, payload: $0.element) })
      let claimed = try await bench.claim(limit: 100)
      #expect(claimed.count == Self.payloads.count)
      for (number, payload) in Self.payloads.enumerated() {
        #expect(try await bench.record(.stub(number)).payload == Array(payload.utf8))
        #expect(claimed.first { $0.id == .stub(number) }?.payload == Array(payload.utf8))
      }
    }
  }

  @Test(arguments: stores)
  func `a result is answered byte for byte`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let results = Self.payloads.filter { $0.utf8.count <= Limits.resultBytes }
      try await bench.submit(results.indices.map { .stub($0) })
      for (number, claimed) in try await bench.claim(limit: 100).enumerated() {
        try await bench.finish(claimed.lease, .success(result: Array(results[number].utf8)))
        let task = try await bench.record(.stub(number))
        #expect(task.result == Array(results[number].utf8))
        #expect(!task.resultTruncated)
      }
      #expect(try await bench.countsByStatus() == [.success: results.count])
    }
  }

  @Test(arguments: stores)
  func `tags and metadata keep their bytes, their order and their emptiness`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let texts = Self.texts.filter { $0 != "e\u{301}" }  // equal to é as a name in a Swift dictionary
      let metadata = Dictionary(uniqueKeysWithValues: zip(texts, texts.reversed()))
      try await bench.submit(
        .stub(1, tags: Self.texts, metadata: metadata), .stub(2, tags: [], metadata: ["empty": ""]))
      let claimed = try await bench.claim(limit: 2)
      for (tags, found) in [
        (try await bench.record().tags, try await bench.record().metadata), (claimed[0].tags, claimed[0].metadata),
      ] {
        #expect(tags.map { Array($0.utf8) } == Self.texts.map { Array($0.utf8) })
        #expect(bytes(found) == bytes(metadata))
      }
      #expect(try await bench.record(.stub(2)).tags == [])
      #expect(try await bench.record(.stub(2)).metadata == ["empty": ""])
      #expect(claimed[1].metadata == ["empty": ""])
    }
  }

  @Test(arguments: stores)
  func `errors, log lines and progress messages keep every byte`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for (number, text) in Self.texts.enumerated() {
        let claimed = try await bench.running(.stub(number))
        _ = try await bench.renew(claimed.lease, progress: Progress(percent: 33.3, message: text))
        let error = TaskError(type: text, message: text, stack: text)
        try await bench.finish(claimed.lease, .failed(error, .giveUp(.nonRetryable)), logs: [text, "", text])
        let task = try await bench.record(.stub(number))
        let attempt = try #require(try await bench.attempts(.stub(number)).first)
        #expect(task.progress?.percent == 33.3)
        #expect(task.progress?.message.map { Array($0.utf8) } == Array(text.utf8))
        for stored in [task.lastError, attempt.error] {
          #expect(stored.map { Array($0.type.utf8) } == Array(text.utf8))
          #expect(stored.map { Array($0.message.utf8) } == Array(text.utf8))
          #expect(stored?.stack.map { Array($0.utf8) } == Array(text.utf8))
        }
        #expect(attempt.logs.map { Array($0.utf8) } == [text, "", text].map { Array($0.utf8) })
      }
    }
  }

  @Test(arguments: stores)
  func `what ties a task to others is answered as it was given`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let visible = String(decoding: (0x21...0x7E).map { UInt8($0) }, as: UTF8.self)
      let keys = [visible, "a", String(repeating: "~", count: 255)]
      let texts = ["é", "e\u{301}", "👩‍👩‍👧‍👦 '\"`\\ %_", String(repeating: "x", count: 255)]
      try await bench.submit((1...5).map { .stub($0) })
      var tasks: [AcceptedTask] = []
      for (index, policy) in DependencyPolicy.allCases.enumerated() {
        var task = AcceptedTask.stub(10 + index)
        task.dependencies = [3, 1, 5, 2].map { .stub($0) }
        task.onDependencyFailure = policy
        task.ref = "Step_\(index).a:b-c"
        task.graph = .member(.stub(100 + index))
        task.idempotencyKey = keys[index]
        task.scheduleName = "nightly.\(index)"
        tasks.append(task)
      }
      for (index, text) in texts.enumerated() {
        var task = AcceptedTask.stub(20 + index)
        task.concurrencyKey = text
        tasks.append(task)
      }
      try await bench.submit(tasks)
      for task in tasks {
        var expected = TaskRecord(task, acceptedAt: start)
        if !task.dependencies.isEmpty { (expected.status, expected.sequence) = (.pending, 1) }
        let found = try await bench.record(task.id)
        #expect(found == expected)
        #expect(found.concurrencyKey.map { Array($0.utf8) } == task.concurrencyKey.map { Array($0.utf8) })
      }
    }
  }

  @Test(arguments: stores)
  func `what is absent stays absent`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub())
      _ = try await bench.renew(claimed.lease, progress: Progress(percent: 0, message: nil))
      try await bench.finish(
        claimed.lease, .failed(TaskError(type: "T", message: "m", stack: nil), .giveUp(.badPayload)))
      let task = try await bench.record()
      #expect(task.lastError == TaskError(type: "T", message: "m", stack: nil))
      #expect(task.progress == Progress(percent: 0, message: nil))
      #expect(task.runAt == nil && task.expiresAt == nil && task.traceparent == nil && task.replayOf == nil)
      #expect(task.result == nil && claimed.traceparent == nil && claimed.runAt == nil)
      #expect(task.dependencies == [] && task.onDependencyFailure == .hold && task.ref == nil && task.graphID == nil)
      #expect(task.idempotencyKey == nil && task.concurrencyKey == nil && task.scheduleName == nil)
    }
  }

  @Test(arguments: stores)
  func `times keep their milliseconds from the first to the last that can be written`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let times = [
        Timestamp.earliest, Timestamp(milliseconds: -1), Timestamp(milliseconds: 0), start + .milliseconds(1), .latest,
      ]
      for (number, time) in times.enumerated() {
        try await bench.submit(.stub(number, eligible: .at(time), runAt: time, expiresAt: time))
        let task = try await bench.record(.stub(number))
        #expect(task.runAt == time)
        #expect(task.expiresAt == time)
        #expect(task.availableAt == max(time, start))
      }
    }
  }

  @Test(arguments: stores)
  func `a backoff keeps every digit`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let policies = RetryPolicy.Strategy.allCases.flatMap { strategy in
        [
          RetryPolicy(strategy: strategy, baseSeconds: 0.1, factor: 1.0 / 3, maxSeconds: 3600.000_001, jitter: 0.2),
          RetryPolicy(strategy: strategy, baseSeconds: 0, factor: 1, maxSeconds: 0, jitter: 0),
          RetryPolicy(
            strategy: strategy, baseSeconds: .leastNonzeroMagnitude, factor: 1000, maxSeconds: 3_155_760_000, jitter: 1),
        ]
      }
      for (number, policy) in policies.enumerated() {
        try await bench.submit(.stub(number, backoff: policy))
        #expect(try await bench.record(.stub(number)).backoff == policy)
      }
    }
  }

  @Test(arguments: stores)
  func `durations keep their milliseconds`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(timeout: .milliseconds(604_800_000), lease: .milliseconds(1001)))
      let task = try await bench.record()
      #expect(task.timeout == .seconds(604_800) && claimed.timeout == .seconds(604_800))
      #expect(task.lease == .milliseconds(1001) && claimed.leaseDuration == .milliseconds(1001))
    }
  }

  @Test(arguments: stores)
  func `any token and any id make a lease that holds`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let tokens: [Int64] = [.min, -1, 0, 1, .max]
      let ids = [
        TaskID(high: 0, low: 0), TaskID(high: .max, low: .max), TaskID(high: 1 << 63, low: 1),
        TaskID(high: 1, low: 1 << 63),
        TaskID(high: 0x0019_2E4F_0000_7000, low: 0x8000_0000_0000_00FF),
      ]
      for (token, id) in zip(tokens, ids) {
        var task = AcceptedTask.stub()
        task.id = id
        let claimed = try await bench.running(task, token: token)
        #expect(claimed.lease == LeaseID(task: id, attempt: 1, token: token))
        #expect(try await bench.finish(claimed.lease, .success) == .applied(.success))
      }
      #expect(try await bench.listAll(TaskQuery()).map(\.id) == ids.sorted(by: >))
    }
  }

  private func bytes(_ metadata: [String: String]) -> Set<[[UInt8]]> {
    Set(metadata.map { [Array($0.key.utf8), Array($0.value.utf8)] })
  }
}
