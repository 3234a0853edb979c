// Filters as JSON: what clients may write, what is refused, and that what is kept reads the same again.

internal import Testing

@testable internal import MartletCore

@Suite struct BulkSelectionTests {
  private func read(
    _ json: String, statuses: Set<TaskStatus> = BulkAction.cancel.statuses
  ) throws -> (filter: TaskQuery, problems: [ValidationProblem]) {
    var problems = Problems()
    let slice = try JSONScanner.scan(Array(json.utf8))
    let filter = TaskQuery(filter: slice, at: "/filter", statuses: statuses, problems: &problems)
    return (filter, problems.all)
  }

  @Test func `every filter of the list is read, and written so that it reads the same`() throws {
    let (filter, problems) = try read(
      #"""
      {"status":"READY,PENDING","type":["a","b"],"queue":"q","tag":"t","worker":"w","metadata":{"k":"v"},"metadata.x y":"",
      "graphId":"0190a7c4-5e1b-7cc3-98c4-dc0c0c07398f","idempotencyKey":"order-1","scheduleName":"nightly",
      "createdAfter":"2026-02-01T10:00:00Z","createdBefore":"2026-02-02T10:00:00+01:00"}
      """#)
    #expect(problems.isEmpty)
    #expect(filter.statuses == [.ready, .pending] && filter.types == ["a", "b"] && filter.queues == ["q"])
    #expect(filter.metadata == ["k": "v", "x y": ""] && filter.graphID != nil && filter.createdBefore != nil)
    #expect(try TaskQuery(filterJSON: filter.filterJSON) == filter)
  }

  @Test func `an empty filter is the empty object`() throws {
    #expect(try read("{}").filter == TaskQuery())
    #expect(TaskQuery().filterJSON == "{}")
    #expect(try TaskQuery(filterJSON: "{}") == TaskQuery())
    #expect(try read(#"{"tag":null,"type":null}"#).filter == TaskQuery())
  }

  @Test(arguments: [
    (#"{"stauts":"READY"}"#, ["/filter/stauts"]), (#"{"status":"SUCCESS"}"#, ["/filter/status"]),
    (#"{"status":"NOPE,READY"}"#, ["/filter/status"]), (#"{"type":"a b"}"#, ["/filter/type"]),
    (#"{"queue":[]}"#, ["/filter/queue"]), (#"{"type":[ ],"tag":"a"}"#, ["/filter/type"]),
    (#"{"status":[]}"#, ["/filter/status"]), (#"{"status":""}"#, ["/filter/status"]),
    (#"{"queue":[""]}"#, ["/filter/queue"]), (#"{"queue":""}"#, ["/filter/queue"]),
    (#"{"metadata":{"a":"1"},"metadata.a":"2"}"#, ["/filter/metadata.a"]),
    (#"{"metadata.a":"1","metadata":{"b":"","a":"1"}}"#, ["/filter/metadata.a"]),
    (#"{"type":""}"#, ["/filter/type"]), (#"{"type":3}"#, ["/filter/type"]), (#"{"type":[3]}"#, ["/filter/type/0"]),
    (#"{"queue":"a,,b"}"#, ["/filter/queue"]), (#"{"tag":""}"#, ["/filter/tag"]), (#"{"tag":["a"]}"#, ["/filter/tag"]),
    (#"{"metadata":{"a":1}}"#, ["/filter/metadata/a"]), (#"{"metadata":"a"}"#, ["/filter/metadata"]),
    (#"{"metadata.a":1}"#, ["/filter/metadata.a"]), (#"{"metadata.":"x"}"#, ["/filter/metadata."]),
    (#"{"graphId":"7"}"#, ["/filter/graphId"]), (#"{"idempotencyKey":"a b"}"#, ["/filter/idempotencyKey"]),
    (#"{"createdAfter":"now"}"#, ["/filter/createdAfter"]), (#"{"createdAfter":5}"#, ["/filter/createdAfter"]),
    (#"{"limit":5}"#, ["/filter/limit"]), (#"{"tag":"a","tag":"b"}"#, ["/filter/tag"]), ("[]", ["/filter"]),
    (#""all""#, ["/filter"]),
  ])
  func `what no filter can be is told with its place`(json: String, pointers: [String]) throws {
    #expect(try read(json).problems.map(\.pointer) == pointers)
  }

  @Test func `dead letters have no status to choose`() throws {
    #expect(try read(#"{"status":"DEAD"}"#, statuses: []).problems.map(\.pointer) == ["/filter/status"])
  }

  @Test func `a job is about what its action can change, and of that what the filter leaves`() {
    func order(_ action: BulkAction, _ statuses: Set<TaskStatus>) -> BulkOrder {
      var filter = TaskQuery()
      filter.statuses = statuses
      return BulkOrder(id: TaskID(high: 0x7000, low: 1 << 63), action, BulkSelection(filter), actor: "a")
    }
    #expect(order(.cancel, []).selection.filter.statuses == [.pending, .ready, .retry, .running])
    #expect(order(.cancel, [.ready, .success]).selection.filter.statuses == [.ready])
    #expect(order(.purge, []).selection.filter.statuses == [.dead])
  }

  @Test func `a rate makes pages of a fifth of a second, and pauses that keep it on average`() {
    let now = Timestamp(milliseconds: 1_000_000)
    func job(_ rate: Double?, limit: Int? = nil, matched: Int = 0) -> BulkJob {
      let order = BulkOrder(
        id: TaskID(high: 0x7000, low: 1 << 63), .cancel, BulkSelection(), limit: limit, ratePerSecond: rate, actor: "a")
      return BulkJob(order, matched: matched, createdAt: now, updatedAt: now)
    }
    #expect(job(nil).page(limit: 250) == 250)
    #expect(job(nil, limit: 10, matched: 7).page(limit: 250) == 3)
    #expect([0.1, 1, 10, 100, 10_000].map { job($0).page(limit: 250) } == [1, 1, 2, 20, 250])
    #expect(job(10).next(after: 2, last: now, hold: .seconds(9), now: now) == now + .milliseconds(200))
    // What came late is made up for, but for no more than a second.
    #expect(job(10).next(after: 2, last: now + .milliseconds(-300), hold: .zero, now: now) == now + .milliseconds(-100))
    #expect(job(10).next(after: 2, last: .earliest, hold: .zero, now: now) == now + .milliseconds(-800))
    #expect(job(nil).next(after: 2, last: now, hold: .seconds(9), now: now) == now + .seconds(9))
  }
}
