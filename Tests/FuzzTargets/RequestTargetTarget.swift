// Request targets: path, query, what each route takes, and the cursors of lists.

#if DEBUG || MARTLET_FUZZ
  import HTTPTypes
  import NIOHTTPTypes

  @testable import MartletCore
  @testable import MartletHTTP

  enum RequestTargetTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      let text = String(decoding: bytes, as: UTF8.self)
      try cursors(text)
      do {
        let target = try RequestTarget(text)
        try found(target)
      } catch let problem as Problem {
        try BodyTarget.isTold(problem)
      } catch let finding as Finding {
        throw finding
      } catch {
        throw Finding("\(error)")
      }
    }

    private static let routes = RouteTree(RouteTable.routes(for: .api))

    private static func found(_ target: RequestTarget) throws {
      let given = try target.queryParameters()
      for part in target.segments + given.map(\.name) + given.map(\.value) {
        try require(!part.utf8.contains(0), "there is a NUL in it")
      }
      guard let (place, parameter) = routes.find(target.segments) else { return }
      try require(!place.path.contains("{") || !parameter.isEmpty, "a parameter is empty")
      for route in place.routes {
        let query = try Parameters(given, known: route.query)
        for name in route.query.names { try values(query, name) }
        if route.path == "/tasks" { _ = try TaskQuery(query) }
        if route.path == "/dead-letters" {
          try require(try TaskQuery(query, deadLetters: true).statuses == [.dead], "a dead letter that is none")
        }
      }
    }

    private static func values(_ query: Parameters, _ name: String) throws(Finding) {
      var problems = Problems()
      if let seconds = query.seconds(name, upTo: 60, &problems) {
        try require(seconds >= .zero && seconds <= .seconds(60), "\(seconds) within a minute")
      }
      if let number = query.int(name, in: 1...1000, &problems) {
        try require((1...1000).contains(number), "\(number) within 1000")
      }
      if let time = query.timestamp(name, &problems) {
        try require(Timestamp(time.description) == time, "a time comes back as another")
      }
      if let text = query.text(name) { try cursors(text) }
    }

    /// What is taken was given.
    private static func cursors(_ text: String) throws(Finding) {
      if let cursor = Cursor(text) {
        try require(cursor.text == text, "two cursors for one place")
        let places: [Any?] = [
          cursor.before, cursor.afterAttempt, cursor.afterEvent, cursor.beforeNotice, cursor.auditPlace,
        ]
        try require(places.count(where: { $0 != nil }) <= 1, "one cursor for two places")
      }
      if let cursor = NameCursor(text) {
        try require(cursor.text == text && Limits.isName(cursor.after), "two cursors for one name")
      }
    }
  }
#endif
