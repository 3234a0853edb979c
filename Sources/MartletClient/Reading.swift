// Reads answers. Unknown fields are passed over, so that a newer server can be read; missing or misshapen ones make the
// answer an unexpected one, named by field.

internal import MartletCore

enum Reading {
  static func object(_ answer: Answer) throws(MartletClientError) -> ObjectReader {
    try ObjectReader(answer.root, server: answer.server)
  }

  /// The elements of `data`.
  static func data<Element>(
    _ answer: Answer, _ make: (ObjectReader) throws(MartletClientError) -> Element
  ) throws(MartletClientError) -> [Element] {
    try object(answer).objects("data", make)
  }
}

extension MartletClient {
  /// A whole list, page by page.
  func all<Element>(
    of list: Call, _ make: (ObjectReader) throws(MartletClientError) -> Element
  ) async throws -> [Element] {
    try await pages(of: list).flatMap { page in try Reading.data(page, make) }
  }

  /// A list as it came where it has one page; of several, all elements in the form of one.
  package func whole(_ list: Call) async throws -> Answer {
    let pages = try await pages(of: list)
    guard pages.count > 1 else { return pages[0] }
    let elements = try pages.flatMap { page in try Reading.data(page) { $0.slice.bytes } }
    var json = JSONWriter(capacity: elements.reduce(64) { $0 + $1.count + 1 })
    json.object { json in
      json.name("data")
      json.array(of: elements) { $0.raw($1) }
      json.field("nextCursor", String?.none)
    }
    return try Answer(server: pages[0].server, json: json.bytes)
  }

  private func pages(of list: Call) async throws -> [Answer] {
    var pages = [try await answer(to: list)]
    while let cursor = try Reading.object(pages[pages.count - 1]).text("nextCursor") {
      var next = list
      next.query += [("limit", "1000"), ("cursor", cursor)]
      pages.append(try await answer(to: next))
    }
    return pages
  }
}

/// One JSON object of an answer.
struct ObjectReader {
  let slice: JSONSlice
  private let server: String
  private let fields: [String: JSONSlice]

  init(_ slice: JSONSlice, server: String) throws(MartletClientError) {
    guard let members = slice.members else {
      throw .unexpectedAnswer(server: server, reason: "an object was expected")
    }
    self.slice = slice
    self.server = server
    fields = Dictionary(members.map { ($0.name, $0.value) }) { first, _ in first }
  }

  /// False for `null`.
  func has(_ name: String) -> Bool { fields[name].map { !$0.isNull } ?? false }

  /// The bytes as they came; `null` is a value here.
  func raw(_ name: String) -> [UInt8]? { fields[name]?.bytes }

  func text(_ name: String) throws(MartletClientError) -> String? { try read(name, "text") { $0.string } }
  func int(_ name: String) throws(MartletClientError) -> Int? { try read(name, "a whole number") { $0.int } }
  func double(_ name: String) throws(MartletClientError) -> Double? { try read(name, "a number") { $0.double } }
  func bool(_ name: String) throws(MartletClientError) -> Bool? { try read(name, "true or false") { $0.bool } }

  func time(_ name: String) throws(MartletClientError) -> Timestamp? {
    try read(name, "a time") { $0.string.flatMap(Timestamp.init) }
  }

  func id(_ name: String) throws(MartletClientError) -> TaskID? {
    try read(name, "an id") { $0.string.flatMap(TaskID.init) }
  }

  func texts(_ name: String) throws(MartletClientError) -> [String] {
    try read(name, "an array of texts") { slice in
      guard let elements = slice.elements else { return nil }
      let texts = elements.compactMap(\.string)
      return texts.count == elements.count ? texts : nil
    } ?? []
  }

  func textMap(_ name: String) throws(MartletClientError) -> [String: String] {
    try read(name, "an object of texts") { slice in
      guard let members = slice.members else { return nil }
      let pairs = members.compactMap { member in member.value.string.map { (member.name, $0) } }
      return pairs.count == members.count ? Dictionary(pairs) { first, _ in first } : nil
    } ?? [:]
  }

  func object(_ name: String) throws(MartletClientError) -> ObjectReader? {
    guard let slice = try read(name, "an object", { $0.kind == .object ? $0 : nil }) else { return nil }
    return try ObjectReader(slice, server: server)
  }

  func objects<Element>(
    _ name: String, _ make: (ObjectReader) throws(MartletClientError) -> Element
  ) throws(MartletClientError) -> [Element] {
    var elements: [Element] = []
    for slice in try required(name, read(name, "an array") { $0.elements }) {
      elements.append(try make(ObjectReader(slice, server: server)))
    }
    return elements
  }

  /// Counts by status; a status that this library does not know is left out.
  func counts(_ name: String) throws(MartletClientError) -> [TaskStatus: Int] {
    guard let reader = try object(name) else { return [:] }
    return try reader.statusCounts()
  }

  func statusCounts() throws(MartletClientError) -> [TaskStatus: Int] {
    var counts: [TaskStatus: Int] = [:]
    for status in TaskStatus.allCases {
      if let count = try int(status.rawValue) { counts[status] = count }
    }
    return counts
  }

  var names: [String] { fields.keys.sorted() }

  func required<Value>(_ name: String, _ value: Value?) throws(MartletClientError) -> Value {
    guard let value else { throw .unexpectedAnswer(server: server, reason: "'\(name)' is missing") }
    return value
  }

  func unexpected(_ reason: String) -> MartletClientError { .unexpectedAnswer(server: server, reason: reason) }

  private func read<Value>(
    _ name: String, _ expected: String, _ convert: (JSONSlice) -> Value?
  ) throws(MartletClientError) -> Value? {
    guard let slice = fields[name], !slice.isNull else { return nil }
    guard let value = convert(slice) else {
      throw .unexpectedAnswer(server: server, reason: "'\(name)' is not \(expected)")
    }
    return value
  }
}
