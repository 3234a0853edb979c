// The values of header fields, each by its own reader: an input is one value.

#if DEBUG || MARTLET_FUZZ
  import HTTPTypes
  import NIOHTTP1

  @testable import Martlet
  @testable import MartletCore
  @testable import MartletHTTP

  enum FieldTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      let text = String(decoding: bytes, as: UTF8.self)
      try traces(text)
      try times(text)
      try hosts(text)
      try credentials(text)
      var fields = HTTPFields()
      // As a connection gives it: a field's value has no line ends.
      if HTTPField.isValidValue(text) {
        fields[.contentType] = text
        fields[.contentEncoding] = text
        do throws(Problem) { try MediaTypeCheck.json(HeaderFields(fields)) } catch { try BodyTarget.isTold(error) }
      }
      if RequestIDs.isValid(text) {
        try require(text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "an id of a request that breaks a line")
      }
    }

    private static func traces(_ text: String) throws(Finding) {
      guard let parent = TraceParent(text) else { return }
      try require(TraceParent(parent.text) == parent, "a traceparent comes back as another")
      try require(
        parent.text.utf8.count == 55 && text.hasPrefix(String(parent.text.dropFirst(2).dropLast(2)), after: 2),
        "a traceparent names another trace")
    }

    private static func times(_ text: String) throws(Finding) {
      if let time = Timestamp(text) {
        try require(time >= .earliest && time <= .latest, "a time outside of the calendar")
        try require(Timestamp(time.description) == time, "a time comes back as another: \(time)")
        try require(
          RetryAfter.date(HTTPDates.text(time)).map { $0.milliseconds == floorDivide(time.milliseconds, 1000) * 1000 }
            == true, "a date of HTTP comes back as another: \(HTTPDates.text(time))")
      }
      if let id = TaskID(text) { try require(TaskID(id.description) == id, "an id comes back as another") }
      let now = Timestamp(milliseconds: 1_774_744_000_000)
      for headers in [
        HTTPHeaders([("retry-after", text)]), HTTPHeaders([("retry-after", "120"), ("date", text)]),
        HTTPHeaders([("retry-after", text), ("date", text)]),
      ] {
        if let delay = RetryAfter.delay(asked: headers, now: now) {
          try require(delay >= .zero && delay <= .seconds(86_400), "a delay of \(delay)")
        }
      }
    }

    private static func hosts(_ text: String) throws(Finding) {
      guard LoopbackGuard.isLoopback(authority: text) else { return }
      let host = text.lowercased().prefix { $0 != ":" }
      try require(
        host == "localhost" || host.hasSuffix(".localhost") || host.hasPrefix("127.") || text.hasPrefix("[::1]")
          || text.hasPrefix("[0:0:0:0:0:0:0:1]"),
        "\(text) is loopback")
    }

    private static func credentials(_ text: String) throws(Finding) {
      guard HTTPField.isValidValue(text) else { return }
      for name in [HTTPField.Name.authorization, .apiKey] {
        var fields = HTTPFields()
        fields[name] = text
        do {
          guard let presented = try Presented.read(HeaderFields(fields)) else { continue }
          try require(
            presented.text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } && presented.text.utf8.count <= 8192,
            "a credential of odd characters")
        } catch let problem as Problem {
          try BodyTarget.isTold(problem)
          try require(text.utf8.count < 16 || !problem.detail.contains(text), "a credential is repeated")
        } catch let finding as Finding {
          throw finding
        } catch {
          throw Finding("\(error)")
        }
      }
      if APIKeyText.isWellFormed(text) {
        try require(text.utf8.count == 52, "a key of another length")
      }
    }
  }

  extension String {
    fileprivate func hasPrefix(_ text: String, after count: Int) -> Bool { dropFirst(count).hasPrefix(text) }
  }
#endif
