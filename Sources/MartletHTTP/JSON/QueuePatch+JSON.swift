// From the bytes of `PATCH /queues/{queue}` and `PUT /types/{type}` to what they set. Values are judged by `QueueService`.

internal import MartletCore

extension QueuePatch {
  private static let names = [
    "paused", "concurrency", "concurrencyPerKey", "ratePerSecond", "burst", "maxDepth", "notify",
  ]

  /// `null` takes a limit away; what is not named stays, and so does `paused` with `null`.
  /// - Throws: the text is no JSON (400), or fields are unknown, of the wrong kind or none at all (422).
  init(json bytes: [UInt8]) throws(Problem) {
    let root = try JSONSlice(scanning: bytes)
    var problems = Problems()
    let fields = JSONFields(root, at: "", known: Self.names, problems: &problems)
    self.init()
    isPaused = fields.bool("paused", &problems)
    concurrency = Limit("concurrency", fields, fields.int("concurrency", &problems))
    concurrencyPerKey = Limit("concurrencyPerKey", fields, fields.int("concurrencyPerKey", &problems))
    ratePerSecond = Limit("ratePerSecond", fields, fields.double("ratePerSecond", &problems))
    burst = Limit("burst", fields, fields.int("burst", &problems))
    maxDepth = Limit("maxDepth", fields, fields.int("maxDepth", &problems))
    notify = Limit("notify", fields, [NoticeTarget](fields, &problems))
    if problems.all.isEmpty, self == QueuePatch() {
      problems.add("", "must have at least one of \(Self.names.joined(separator: ", "))")
    }
    guard problems.all.isEmpty else { throw .invalid(problems.all + self.problems) }
  }
}

extension QueuePatch.Limit {
  fileprivate init(_ name: String, _ fields: JSONFields, _ value: Value?) {
    if let value {
      self = .value(value)
    } else if fields.raw(name)?.isNull == true {
      self = .none
    } else {
      self = .keep
    }
  }
}

extension TypeSettings {
  /// - Throws: as above. What is not named is not set.
  init(json bytes: [UInt8]) throws(Problem) {
    let root = try JSONSlice(scanning: bytes)
    var problems = Problems()
    let fields = JSONFields(root, at: "", known: ["defaults", "paused"], problems: &problems)
    self.init()
    isPaused = fields.bool("paused", &problems) ?? false
    if let defaults = fields.raw("defaults"), !defaults.isNull {
      self.defaults = TypeDefaults(defaults, at: "/defaults", problems: &problems)
    }
    guard problems.all.isEmpty else { throw .invalid(problems.all) }
  }
}

extension JSONSlice {
  fileprivate init(scanning bytes: [UInt8]) throws(Problem) {
    do throws(JSONError) { self = try JSONScanner.scan(bytes) } catch { throw Problem(error) }
  }
}
