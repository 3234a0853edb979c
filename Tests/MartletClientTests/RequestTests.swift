// What goes over the wire: methods, paths, queries, headers and bodies.

internal import MartletClient
internal import ScriptedServer
internal import Testing

@Suite("Requests")
struct RequestTests {
  @Test("a submit sends only what was given")
  func minimalSubmit() async throws {
    try await withClient(script: { _, _ in .json(201, Fixtures.task()) }) { client, server in
      let task = try await client.submit(NewTask(type: "resize"))
      #expect(task.id == Fixtures.id)
      let request = try #require(server.requests.first)
      #expect(request.method == "POST")
      #expect(request.target == "/tasks")
      #expect(request.headers["content-type"] == "application/json")
      #expect(request.text == #"{"type":"resize","payload":{}}"#)
    }
  }

  @Test("the payload goes out byte for byte")
  func rawPayload() async throws {
    let payload = #" {"b" : 1.50 ,"a":12345678901234567890, "u":"é\u0041"}"#
    try await withClient(script: { _, _ in .json(201, Fixtures.task()) }) { client, server in
      _ = try await client.submit(NewTask(type: "resize", payload: Array(payload.utf8)))
      #expect(server.requests.first?.text == #"{"type":"resize","payload":\#(payload)}"#)
    }
  }

  @Test("durations travel in seconds, times in RFC 3339, the trace context in its header")
  func fullSubmit() async throws {
    var task = NewTask(type: "resize")
    task.queue = "images"
    task.priority = 9
    task.delaySeconds = 60
    task.runAt = Timestamp("2026-02-01T11:00:00+01:00")
    task.availableAt = Timestamp("2026-02-01T10:00:00Z")
    task.retries = 0
    task.backoff = NewTask.Backoff()
    task.backoff?.strategy = .linear
    task.backoff?.baseSeconds = 0.5
    task.timeoutSeconds = 2.5
    task.leaseSeconds = 30
    task.expiresAt = Timestamp("2030-01-01T00:00:00Z")
    task.tags = ["a", "b"]
    task.metadata = ["z": "1", "a": "\"quoted\""]
    task.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    let body = """
      {"type":"resize","payload":{},"queue":"images","priority":9,"delaySeconds":60,\
      "runAt":"2026-02-01T10:00:00.000Z","availableAt":"2026-02-01T10:00:00.000Z","retries":0,\
      "backoff":{"strategy":"linear","baseSeconds":0.5},"timeoutSeconds":2.5,"leaseSeconds":30,\
      "expiresAt":"2030-01-01T00:00:00.000Z","tags":["a","b"],"metadata":{"a":"\\"quoted\\"","z":"1"}}
      """
    let submitted = task
    try await withClient(script: { _, _ in .json(201, Fixtures.task()) }) { client, server in
      _ = try await client.submit(submitted)
      #expect(server.requests.first?.text == body)
      #expect(server.requests.first?.headers["traceparent"] == submitted.traceparent)
    }
  }

  @Test("an encodable payload is encoded, and the closure sets the rest")
  func encodablePayload() async throws {
    struct Resize: Encodable {
      var width: Int
      var url: String
    }
    try await withClient(script: { _, _ in .json(201, Fixtures.task()) }) { client, server in
      _ = try await client.submit("resize", payload: Resize(width: 200, url: "http://a/b")) { $0.priority = 7 }
      #expect(
        server.requests.first?.text
          == #"{"type":"resize","payload":{"url":"http://a/b","width":200},"priority":7}"#)
    }
  }

  @Test(
    "a payload that is not exactly one JSON value is refused before anything is sent",
    arguments: ["", "{", "{}, \"priority\": 9", "nope", "\u{FEFF}{}"])
  func badPayload(payload: String) async throws {
    try await withClient(script: { _, _ in .json(201, Fixtures.task()) }) { client, server in
      await #expect {
        try await client.submit(NewTask(type: "resize", payload: Array(payload.utf8)))
      } throws: { error in
        guard case .invalidRequest(let reason)? = error as? MartletClientError else { return false }
        return reason.hasPrefix("the payload is not JSON")
      }
      #expect(server.requests.isEmpty)
    }
  }

  @Test("a number that JSON cannot write is refused, not sent as null")
  func infiniteDelay() async throws {
    try await withClient(script: { _, _ in .json(201, Fixtures.task()) }) { client, server in
      var task = NewTask(type: "resize")
      task.delaySeconds = .infinity
      await #expect(throws: MartletClientError.invalidRequest("delaySeconds is not a finite number")) {
        try await client.submit(task)
      }
      #expect(server.requests.isEmpty)
    }
  }

  @Test("an API key and a token each go out in their own header")
  func credentials() async throws {
    for (credential, name, value) in [
      (MartletClient.Credential.apiKey("mk_1"), "x-api-key", "mk_1"),
      (.token("a.b.c"), "authorization", "Bearer a.b.c"),
    ] {
      try await withClient(credential: credential, script: { _, _ in .json(200, Fixtures.task()) }) { client, server in
        _ = try await client.task(Fixtures.id)
        let headers = try #require(server.requests.first?.headers)
        #expect(headers[name] == value)
        #expect(headers["x-api-key"] == nil || headers["authorization"] == nil)
      }
    }
  }

  @Test("a credential does not show in descriptions")
  func secretDescriptions() throws {
    let credential = MartletClient.Credential.apiKey("mk_secret")
    #expect(!"\(credential) \(String(reflecting: credential))".contains("secret"))
  }

  @Test("a credential that could smuggle a header is refused")
  func headerInjection() async throws {
    try await withClient(credential: .apiKey("a\r\nx-evil: 1"), script: { _, _ in .json(200, Fixtures.task()) }) {
      client, server in
      await #expect(throws: MartletClientError.self) { try await client.task(Fixtures.id) }
      #expect(server.requests.isEmpty)
    }
  }

  @Test("filters become query parameters, escaped")
  func filters() async throws {
    var filter = TaskFilter()
    filter.statuses = [.ready, .dead]
    filter.types = ["b", "a"]
    filter.queues = ["q"]
    filter.tag = "a&b=c d"
    filter.worker = "node/1"
    filter.graphID = Fixtures.id
    filter.idempotencyKey = "o/1"
    filter.metadata = ["order id": "4+2"]
    filter.createdAfter = Timestamp("2026-02-01T10:00:00Z")
    filter.createdBefore = Timestamp("2026-02-02T10:00:00Z")
    filter.includesPayload = true
    filter.includesResult = true
    let query = filter
    try await withClient(script: { _, _ in .json(200, #"{"data":[],"nextCursor":null}"#) }) { client, server in
      _ = try await client.page(query, limit: 7, after: "c/1")
      #expect(
        server.requests.first?.target
          == "/tasks?status=DEAD%2CREADY&type=a%2Cb&queue=q&tag=a%26b%3Dc%20d&worker=node%2F1"
          + "&graphId=\(Fixtures.id)&idempotencyKey=o%2F1"
          + "&metadata.order%20id=4%2B2&createdAfter=2026-02-01T10%3A00%3A00.000Z"
          + "&createdBefore=2026-02-02T10%3A00%3A00.000Z&include=payload%2Cresult&limit=7&cursor=c%2F1")
    }
  }

  @Test("keys, dependencies and refs are sent as they are")
  func connected() async throws {
    var first = NewTask(type: "a")
    first.ref = "x"
    first.idempotencyKey = "k1"
    var second = NewTask(type: "b")
    second.dependencies = ["x", Fixtures.id.description]
    second.onDependencyFailure = .run
    second.concurrencyKey = "c"
    let tasks = [first, second]
    try await withClient(script: { _, _ in .json(201, #"{"data":[]}"#) }) { client, server in
      _ = try await client.submit(tasks)
      #expect(server.requests.first?.target == "/tasks/batch")
      #expect(
        server.requests.first?.text
          == #"{"tasks":[{"type":"a","payload":{},"ref":"x","idempotencyKey":"k1"},{"type":"b","payload":{},"#
          + #""dependencies":["x","\#(Fixtures.id)"],"onDependencyFailure":"RUN","concurrencyKey":"c"}]}"#)
    }
  }

  @Test("the key of a batch goes out in its header, those of its tasks in the body")
  func batchKey() async throws {
    try await withClient(script: { _, _ in .json(201, #"{"data":[]}"#) }) { client, server in
      _ = try await client.submit([NewTask(type: "a")], idempotencyKey: "import-7")
      _ = try await client.submit([NewTask(type: "a")])
      #expect(server.requests.map { $0.headers["idempotency-key"] } == ["import-7", nil])
      #expect(Set(server.requests.map(\.text)) == [#"{"tasks":[{"type":"a","payload":{}}]}"#])
    }
  }

  @Test("settings of queues and types send only what is set, and null for no limit")
  func settings() async throws {
    try await withClient(script: { _, _ in .json(200, #"{"name":"q"}"#) }) { client, server in
      var changes = QueueChanges()
      changes.paused = true
      changes.concurrency = .value(5)
      changes.maxDepth = .unlimited
      _ = try await client.change(queue: "q", changes)
      var rules = TypeRules()
      rules.priority = 9
      rules.backoff = NewTask.Backoff()
      rules.backoff?.jitter = 0.5
      _ = try await client.put(type: "a", rules)
      #expect(
        server.requests.map { "\($0.method) \($0.target) \($0.text)" } == [
          #"PATCH /queues/q {"paused":true,"concurrency":5,"maxDepth":null}"#,
          #"PUT /types/a {"defaults":{"priority":9,"backoff":{"jitter":0.5}},"paused":false}"#,
        ])
    }
  }

  @Test("a name in a path cannot leave its place")
  func escapedPath() async throws {
    try await withClient(script: { _, _ in .json(200, #"{"name":"x"}"#) }) { client, server in
      _ = try await client.queue("../tasks?x#y")
      #expect(server.requests.first?.target == "/queues/..%2Ftasks%3Fx%23y")
    }
  }

  @Test("steering is a POST without a body, a patch sends only what changes")
  func steering() async throws {
    try await withClient(script: { _, _ in .json(200, Fixtures.task()) }) { client, server in
      _ = try await client.cancel(Fixtures.id)
      _ = try await client.retry(Fixtures.id)
      _ = try await client.replay(Fixtures.id)
      _ = try await client.patch(Fixtures.id, .runNow)
      var changes = TaskChanges()
      changes.priority = 1
      changes.tags = []
      changes.metadata = ["a": "b"]
      _ = try await client.patch(Fixtures.id, changes)
      let path = "/tasks/\(Fixtures.id)"
      #expect(
        server.requests.map { "\($0.method) \($0.target) \($0.text)" } == [
          "POST \(path)/cancel ", "POST \(path)/retry ", "POST \(path)/replay ",
          #"PATCH \#(path) {"availableAt":"1970-01-01T00:00:00.000Z"}"#,
          #"PATCH \#(path) {"priority":1,"tags":[],"metadata":{"a":"b"}}"#,
        ])
      #expect(server.requests[0].headers["content-type"] == nil)
    }
  }

  @Test("a path in the server's address stands before every call")
  func basePath() async throws {
    try await ScriptedServer.serving({ _, _ in .json(200, Fixtures.task()) }) { server in
      try await MartletClient.withClient(server: server.address + "/martlet/") { client in
        _ = try await client.task(Fixtures.id)
        #expect(server.requests.first?.target == "/martlet/tasks/\(Fixtures.id)")
      }
    }
  }

  @Test(
    "an address that cannot be one is refused",
    arguments: [
      "", "localhost:8080", "ftp://host", "http://", "http://user:secret@host", "http://host?x=1", "http://host#x",
      "http://ho st", "http://host:99999", "unix:///tmp/x",
    ])
  func badAddress(address: String) {
    #expect(throws: MartletClientError.self) { _ = try MartletClient(server: address) }
  }
}
