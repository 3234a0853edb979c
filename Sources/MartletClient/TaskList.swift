// Lists: what to ask for, one page, and all pages as a sequence.

public import MartletCore

/// Which tasks a list shall hold. All given filters must hold; an empty one is every task.
public struct TaskFilter: Sendable, Hashable {
  /// Any of them.
  public var statuses: Set<TaskStatus> = []
  /// Any of them.
  public var types: Set<String> = []
  /// Any of them.
  public var queues: Set<String> = []
  public var tag: String?
  /// The worker of the latest attempt.
  public var worker: String?
  /// The tasks of one graph.
  public var graphID: TaskID?
  /// Those that a request with this key made.
  public var idempotencyKey: String?
  /// The schedule that made them.
  public var scheduleName: String?
  /// All of these names with these values.
  public var metadata: [String: String] = [:]
  /// Inclusive.
  public var createdAfter: Timestamp?
  /// Exclusive.
  public var createdBefore: Timestamp?
  /// Lists leave payloads out unless asked.
  public var includesPayload = false
  /// Lists leave results out unless asked.
  public var includesResult = false

  /// Every task.
  public init() {}

  var query: [(name: String, value: String)] {
    var query: [(name: String, value: String)] = []
    // An empty name stays: left out it would widen the list, the server refuses it.
    func add(_ name: String, anyOf values: some Collection<String>) {
      if !values.isEmpty { query.append((name, values.sorted().joined(separator: ","))) }
    }
    add("status", anyOf: statuses.map(\.rawValue))
    add("type", anyOf: types)
    add("queue", anyOf: queues)
    if let tag { query.append(("tag", tag)) }
    if let worker { query.append(("worker", worker)) }
    if let graphID { query.append(("graphId", graphID.description)) }
    if let idempotencyKey { query.append(("idempotencyKey", idempotencyKey)) }
    if let scheduleName { query.append(("scheduleName", scheduleName)) }
    for (name, value) in metadata.sorted(by: { $0.key < $1.key }) { query.append(("metadata.\(name)", value)) }
    if let createdAfter { query.append(("createdAfter", createdAfter.description)) }
    if let createdBefore { query.append(("createdBefore", createdBefore.description)) }
    add("include", anyOf: (includesPayload ? ["payload"] : []) + (includesResult ? ["result"] : []))
    return query
  }
}

/// A part of a list.
public struct TaskListPage: Sendable, Hashable {
  public var tasks: [RemoteTask]
  /// Where the next page begins; nil after the last.
  public var nextCursor: String?

  package init(_ answer: Answer) throws(MartletClientError) {
    let reader = try Reading.object(answer)
    tasks = try Reading.data(answer, RemoteTask.init)
    nextCursor = try reader.text("nextCursor")
  }
}

/// All tasks of a list, fetched page by page. Tasks submitted meanwhile may be missing.
public struct TaskSequence: AsyncSequence, Sendable {
  public typealias Element = RemoteTask

  let client: MartletClient
  let list: Call.List
  let filter: TaskFilter
  let pageSize: Int

  public func makeAsyncIterator() -> Iterator { Iterator(pages: pages.makeAsyncIterator()) }

  /// The same page by page, for callers who keep the cursor.
  public var pages: Pages { Pages(tasks: self) }

  /// Task by task.
  public struct Iterator: AsyncIteratorProtocol {
    var pages: Pages.Iterator
    var page: [RemoteTask].Iterator = [].makeIterator()

    public mutating func next() async throws -> RemoteTask? {
      while true {
        if let task = page.next() { return task }
        guard let next = try await pages.next() else { return nil }
        page = next.tasks.makeIterator()
      }
    }
  }

  /// The pages of a list; one may be empty while more follow.
  public struct Pages: AsyncSequence, Sendable {
    public typealias Element = TaskListPage

    let tasks: TaskSequence

    public func makeAsyncIterator() -> Iterator { Iterator(tasks: tasks) }

    /// Page by page.
    public struct Iterator: AsyncIteratorProtocol {
      let tasks: TaskSequence
      var cursor: String?
      var isAtEnd = false

      public mutating func next() async throws -> TaskListPage? {
        guard !isAtEnd else { return nil }
        let call = Call.list(tasks.list, tasks.filter, limit: tasks.pageSize, cursor: cursor)
        let page = try TaskListPage(await tasks.client.answer(to: call))
        if let next = page.nextCursor, next == cursor {
          throw MartletClientError.unexpectedAnswer(
            server: tasks.client.server, reason: "the list's nextCursor does not move")
        }
        cursor = page.nextCursor
        isAtEnd = cursor == nil
        return page
      }
    }
  }
}
