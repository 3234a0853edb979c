// The one JSON form of a type's defaults: `PUT /types/{type}` brings it, `GET /types` answers it, stores keep it in a column.

extension TypeDefaults {
  private static let names = ["queue", "priority", "retries", "backoff", "timeoutSeconds", "leaseSeconds", "notify"]

  /// - Parameters:
  ///   - place: the JSON Pointer of the object.
  ///   - problems: fields that are unknown or of the wrong kind are added here.
  package init(_ json: JSONSlice, at place: String, problems: inout Problems) {
    let fields = JSONFields(json, at: place, known: Self.names, problems: &problems)
    queue = fields.string("queue", &problems)
    priority = fields.int("priority", &problems)
    retries = fields.int("retries", &problems)
    backoff = NewTask.Backoff(fields, &problems)
    timeoutSeconds = fields.double("timeoutSeconds", &problems)
    leaseSeconds = fields.double("leaseSeconds", &problems)
    notify = [NoticeTarget](fields, &problems)
  }

  /// What a store has kept.
  /// - Throws: it is not what was written.
  package init(column: String) throws(JSONError) {
    var problems = Problems()
    self.init(try JSONScanner.scan(Array(column.utf8)), at: "", problems: &problems)
  }

  package var column: String {
    var json = JSONWriter()
    write(to: &json)
    return String(decoding: json.bytes, as: UTF8.self)
  }

  /// Only what is set.
  package func write(to json: inout JSONWriter) {
    json.object { json in
      if let queue { json.field("queue", queue) }
      if let priority { json.field("priority", priority) }
      if let retries { json.field("retries", retries) }
      if let backoff {
        json.name("backoff")
        backoff.write(to: &json)
      }
      if let timeoutSeconds { json.field("timeoutSeconds", timeoutSeconds) }
      if let leaseSeconds { json.field("leaseSeconds", leaseSeconds) }
      if let notify {
        json.name("notify")
        notify.write(to: &json)
      }
    }
  }
}

extension NewTask.Backoff {
  /// Nil where there is none.
  package init?(_ fields: JSONFields, _ problems: inout Problems) {
    guard fields.has("backoff"), let slice = fields.raw("backoff") else { return nil }
    let names = ["strategy", "baseSeconds", "factor", "maxSeconds", "jitter"]
    let parts = JSONFields(slice, at: fields.place("backoff"), known: names, problems: &problems)
    self.init()
    strategy = parts.choice("strategy", &problems)
    baseSeconds = parts.double("baseSeconds", &problems)
    factor = parts.double("factor", &problems)
    maxSeconds = parts.double("maxSeconds", &problems)
    jitter = parts.double("jitter", &problems)
  }

  /// Only what is set.
  package func write(to json: inout JSONWriter) {
    json.object { json in
      if let strategy { json.field("strategy", strategy.rawValue) }
      if let baseSeconds { json.field("baseSeconds", baseSeconds) }
      if let factor { json.field("factor", factor) }
      if let maxSeconds { json.field("maxSeconds", maxSeconds) }
      if let jitter { json.field("jitter", jitter) }
    }
  }
}
