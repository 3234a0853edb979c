// From the bytes of a submission to a `SubmitRequest`, with the fingerprints by which a repeated one is known. Called by
// `POST /tasks` and `POST /tasks/batch`.

internal import Crypto
internal import HTTPTypes
package import MartletCore
package import MartletEngine

extension SubmitRequest {
  /// At most this many tasks a call.
  static let mostTasks = 1000

  /// - Parameter problems: what is wrong with the text; what could be read of it is in the request all the same.
  /// - Throws: the text is no JSON (400).
  static func single(_ call: Call, problems: inout Problems) throws(Problem) -> SubmitRequest {
    let root = try scan(call.body)
    var task = NewTask(root, at: "", isInBatch: false, problems: &problems)
    if let key = headerKey(of: call, &problems) {
      if let own = task.idempotencyKey, own != key {
        problems.add("/idempotencyKey", "differs from the header Idempotency-Key")
      }
      task.idempotencyKey = key
    }
    task.traceparent = call.traceparent
    return SubmitRequest([item(task, root)], isBatch: false)
  }

  /// `{"tasks": […]}`; parameters and errors as above.
  static func batch(_ call: Call, problems: inout Problems) throws(Problem) -> SubmitRequest {
    let root = try scan(call.body)
    let tasks =
      JSONFields(root, at: "", known: ["tasks"], problems: &problems).raw("tasks")?
      .elements(atMost: mostTasks + 1) ?? []
    if root.kind == .object, !(1...mostTasks).contains(tasks.count) {
      problems.add("/tasks", "must be an array of 1 to \(mostTasks) tasks")
      throw .invalid(problems.all)
    }
    let traceparent = call.traceparent
    let items = tasks.enumerated().map { index, json in
      var task = NewTask(
        json, at: "/tasks/\(index)", isInBatch: true, problems: &problems)
      task.traceparent = traceparent
      return item(task, json)
    }
    var request = SubmitRequest(items, isBatch: true)
    if let key = headerKey(of: call, &problems) {
      request.key = Key(key, fingerprint: fingerprint(CanonicalJSON.bytes(of: root)))
    }
    return request
  }

  /// Tasks of a program that has the server inside it: known again by the same fingerprints as if they had come over HTTP.
  /// - Precondition: payloads are JSON values.
  package init(embedded tasks: [NewTask]) throws(JSONError) {
    var items: [Item] = []
    for task in tasks {
      var json = JSONWriter(capacity: task.payload.count + 256)
      task.write(to: &json)
      items.append(Self.item(task, try JSONScanner.scan(json.bytes)))
    }
    self.init(items, isBatch: tasks.count != 1)
  }

  private static func scan(_ body: [UInt8]) throws(Problem) -> JSONSlice {
    do throws(JSONError) { return try JSONScanner.scan(body) } catch { throw Problem(error) }
  }

  private static func item(_ task: NewTask, _ json: JSONSlice) -> Item {
    guard task.idempotencyKey != nil else { return Item(task) }
    return Item(task, fingerprint: fingerprint(CanonicalJSON.bytes(of: json, without: ["idempotencyKey"])))
  }

  /// SHA-256 (FIPS 180-4).
  private static func fingerprint(_ bytes: [UInt8]) -> [UInt8] {
    Array(SHA256.hash(data: bytes))
  }

  private static func headerKey(of call: Call, _ problems: inout Problems) -> String? {
    guard let key = call.fields.idempotencyKey else { return nil }
    let before = problems.all.count
    problems.checkKey(key, at: "/header/Idempotency-Key")
    return problems.all.count == before ? key : nil
  }
}
