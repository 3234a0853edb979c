// The one JSON form of those who are to be told: `[{"webhook": "https://…", "on": ["SUCCESS", "DEAD"]}]`. It comes with tasks and
// defaults and is answered with them; stores keep the same with one field more, by which their triggers know the destination.

extension [NoticeTarget] {
  /// Nil where there is none. What is unknown or of the wrong kind becomes a problem, and is left out.
  package init?(_ fields: JSONFields, _ problems: inout Problems) {
    guard fields.has("notify"), let slice = fields.raw("notify") else { return nil }
    let place = fields.place("notify")
    guard let elements = slice.elements(atMost: NoticeTarget.most + 1) else {
      problems.add(place, "must be an array")
      return nil
    }
    if elements.count > NoticeTarget.most { problems.add(place, "has more than \(NoticeTarget.most) entries") }
    self = elements.prefix(NoticeTarget.most).enumerated().compactMap { index, json in
      NoticeTarget(json, at: "\(place)/\(index)", &problems)
    }
  }

  package func write(to json: inout JSONWriter) {
    json.array(of: self) { $1.write(to: &$0, withDestination: false) }
  }

  /// Nil where nobody is to be told.
  package var column: String? { isEmpty ? nil : text }

  /// The same, but that nobody is `[]`.
  package var text: String {
    var json = JSONWriter()
    json.array(of: self) { $1.write(to: &$0, withDestination: true) }
    return String(decoding: json.bytes, as: UTF8.self)
  }

  /// - Throws: it is not what was written.
  package init(column: String?) throws {
    guard let column else {
      self = []
      return
    }
    let bytes = [UInt8](column.utf8)
    guard let elements = try JSONScanner.scan(bytes).elements else { throw UnreadableRow(what: column) }
    self = elements.compactMap { NoticeTarget(stored: $0) }
  }

  /// What a schedule's or a type's column has of it; nil where it has nothing.
  package init?(template json: JSONSlice?) {
    guard let elements = json?.elements else { return nil }
    self = elements.compactMap { NoticeTarget(stored: $0) }
  }
}

extension NoticeTarget {
  fileprivate init?(_ json: JSONSlice, at place: String, _ problems: inout Problems) {
    let fields = JSONFields(json, at: place, known: ["webhook", "email", "on"], problems: &problems)
    guard json.kind == .object else { return nil }
    let webhook = fields.string("webhook", &problems)
    let email = fields.string("email", &problems)
    let names = fields.strings("on", &problems)
    var on: Set<TaskStatus> = []
    for (index, name) in (names ?? []).enumerated() {
      guard let status = TaskStatus(wireName: name), status.isFinal else {
        problems.add("\(place)/on/\(index)", "must be one of SUCCESS, DEAD, CANCELLED")
        continue
      }
      on.insert(status)
    }
    switch (webhook, email) {
    case (let url?, nil): self.init(.webhook(url), on: names == nil ? Self.usualEndings : on)
    case (nil, let address?): self.init(.email(address), on: names == nil ? Self.usualEndings : on)
    default:
      if !fields.has("webhook") && !fields.has("email") {
        problems.add(place, "must have webhook or email")
      } else if webhook != nil, email != nil {
        problems.add(place, "has webhook and email; give one entry for each")
      }
      return nil
    }
  }

  fileprivate init?(stored json: JSONSlice) {
    let on = Set((json["on"]?.elements ?? []).compactMap { $0.string.flatMap { TaskStatus(wireName: $0) } })
    if let url = json["webhook"]?.string {
      self.init(.webhook(url), on: on)
    } else if let address = json["email"]?.string {
      self.init(.email(address), on: on)
    } else {
      return nil
    }
  }

  fileprivate func write(to json: inout JSONWriter, withDestination: Bool) {
    json.object { json in
      json.field(channel.rawValue, text)
      json.field("on", TaskStatus.allCases.filter(on.contains).map(\.rawValue))
      if withDestination { json.field("destination", destination) }
    }
  }
}
