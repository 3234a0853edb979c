// Bodies of requests: the first line of an input says of which kind, the rest is the body. What is refused has to say where in the
// body, and what is taken has to come back from its own JSON as the same.

#if DEBUG || MARTLET_FUZZ
  import HTTPTypes
  import MartletEngine
  import NIOEmbedded

  @testable import Martlet
  @testable import MartletCore
  @testable import MartletHTTP

  enum BodyTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      let parts = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2 else { return }
      let body = Array(parts[1])
      guard let read = readers[String(decoding: parts[0], as: UTF8.self)] else { return }
      let problems: [ValidationProblem]
      do {
        problems = try read(body)
      } catch let problem as Problem {
        try isTold(problem)
        problems = problem.errors
      } catch let finding as Finding {
        throw finding
      } catch {
        throw Finding("\(error)")
      }
      try require(problems.count <= Problems.most + 200, "\(problems.count) problems are told")
      guard let root = try? JSONScanner.scan(body) else { return }
      for problem in problems {
        try require(!problem.detail.isEmpty, "a problem says nothing")
        try require(leads(problem.pointer, into: root), "the pointer \(problem.pointer.debugDescription) leads nowhere")
      }
    }

    private typealias Reader = @Sendable ([UInt8]) throws -> [ValidationProblem]

    private static let readers: [String: Reader] = [
      "task": { body in
        var problems = Problems()
        let request = try SubmitRequest.single(try call(body), problems: &problems)
        guard problems.all.isEmpty, let task = request.items.first?.task else { return problems.all }
        try comesBack(task)
        return judged(task)
      },
      "batch": { body in
        var problems = Problems()
        let request = try SubmitRequest.batch(try call(body), problems: &problems)
        try require(request.items.count <= SubmitRequest.mostTasks, "\(request.items.count) tasks at once")
        return problems.all
      },
      "schedule": { body in
        var problems = Problems()
        let schedule = try NewSchedule(json: body, name: nil, problems: &problems)
        guard problems.all.isEmpty else { return problems.all }
        do throws(ValidationFailure) {
          _ = try schedule.accepted(defaults: TaskDefaults(), zones: ZoneDatabase(directories: []))
          return []
        } catch { return error.problems }
      },
      "queue": { try QueuePatch(json: $0).problems },
      "type": { body in
        _ = try TypeSettings(json: body)
        return []
      },
      "patch": { try TaskPatch(json: $0).problems },
      "bulk": { try BulkRequest(.cancel, json: $0, queues: nil).problems },
      "purge": { try BulkRequest(.purge, json: $0, queues: nil).problems },
      "lease": { body in
        try LeaseRequest(json: body, name: "worker", host: "host").problems
      },
      "renew": { body in
        for entry in try LeaseEntry<LeaseRenewal>.renewals(body) { try isTold(entry) }
        return []
      },
      "finish": { body in
        for entry in try LeaseEntry<LeaseReport>.reports(body) {
          try isTold(entry)
          if case .success(let result?) = entry.value?.outcome {
            try require((try? JSONScanner.scan(result)) != nil, "a result is kept that cannot be read")
          }
        }
        return []
      },
      "settings": { body in
        let patch = try SettingsPatch(json: body, known: Setting.supported.map(\.key))
        for (key, json) in patch.changes {
          if let json, let fault = Settings.fault(ofOverride: key, json) {
            try require(!fault.isEmpty && fault.utf8.count < 8192, "a fault says nothing or too much")
          }
        }
        return patch.problems
      },
      "nothing": { body in
        try EmptyBody.check(body)
        return []
      },
      "webhook": { body in
        var problems = Problems()
        guard let request = WebhookRequest(body, &problems) else {
          try require(!problems.all.isEmpty, "no call, and no problem")
          return problems.all
        }
        for (name, value) in request.headers {
          try require(
            HTTPField.Name(name) != nil && !value.unicodeScalars.contains { "\r\n\0".unicodeScalars.contains($0) },
            "a header that begins another")
          try require(!["host", "content-length", "transfer-encoding"].contains(name.lowercased()), "a header of ours")
        }
        try require(request.timeout > .zero, "no time")
        return problems.all
      },
    ]

    // MARK: What has to hold

    /// A refusal that a client can read: not the server's fault, in JSON, and with an end.
    static func isTold(_ problem: Problem) throws(Finding) {
      try require((400..<500).contains(problem.code.status), "\(problem.code) for bad input")
      let document = problem.document(requestID: "1")
      guard let root = try? JSONScanner.scan(document) else { throw Finding("a problem is not JSON") }
      try require(root["detail"]?.string == problem.detail, "a problem's detail is another in JSON")
      try require(document.count < 1 << 20, "a problem of \(document.count) bytes")
    }

    private static func isTold<Value>(_ entry: LeaseEntry<Value>) throws(Finding) {
      try require(entry.hasMistake || entry.value != nil || entry.leaseID != nil, "an entry without anything")
      if entry.hasMistake { try require(entry.detail?.isEmpty == false, "a mistake is not told") }
    }

    /// A task that was taken, written by this project's own client.
    private static func comesBack(_ task: NewTask) throws(Finding) {
      var json = JSONWriter()
      task.write(to: &json)
      guard let root = try? JSONScanner.scan(json.bytes) else { throw Finding("a task is written as no JSON") }
      var problems = Problems()
      let again = NewTask(root, at: "", isInBatch: false, problems: &problems)
      try require(problems.all.isEmpty, "a task that was taken is refused: \(problems.all)")
      try require(again == task, "a task comes back as another")
    }

    private static func judged(_ task: NewTask) -> [ValidationProblem] {
      do throws(ValidationFailure) {
        let accepted = try task.accepted(
          id: TaskID(high: 1, low: 1), defaults: TaskDefaults(), now: Timestamp(milliseconds: 1_774_744_000_000))
        _ = accepted.initial(now: Timestamp(milliseconds: 1_774_744_000_000))
        return []
      } catch { return error.problems }
    }

    private static func call(_ body: [UInt8]) throws(Problem) -> Call {
      Call(
        parameter: "", query: try Parameters([], known: .none), connection: ClientConnection(channel), body: body,
        fields: HeaderFields(HTTPFields()))
    }

    private static let channel = EmbeddedChannel()

    /// Whether a pointer (RFC 6901) names a value of the body, or one that is missing in it.
    private static func leads(_ pointer: String, into root: JSONSlice) -> Bool {
      guard !pointer.isEmpty else { return true }
      guard pointer.hasPrefix("/") else { return false }
      var places = [root]
      // Bytes, not characters: a combining mark behind a slash makes another character of it.
      let tokens = pointer.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
      for (index, token) in tokens.enumerated() {
        guard let name = name(String(decoding: token, as: UTF8.self)) else { return false }
        // Long names are cut where they are told.
        if name.hasSuffix("…") { return true }
        let next = places.flatMap { place -> [JSONSlice] in
          switch place.kind {
          case .object:
            (place.members ?? []).filter { $0.name.utf8.elementsEqual(name.utf8) }.map(\.value)
          case .array: Int(name).flatMap { place.elements(atMost: $0 + 1)?.dropFirst($0).first }.map { [$0] } ?? []
          default: []
          }
        }
        if next.isEmpty { return index == tokens.count - 1 && places.contains { $0.kind == .object } }
        places = next
      }
      return true
    }

    private static func name(_ token: String) -> String? {
      var name = ""
      var isEscaped = false
      for scalar in token.unicodeScalars {
        if isEscaped {
          guard scalar == "0" || scalar == "1" else { return nil }
          name.unicodeScalars.append(scalar == "0" ? "~" : "/")
          isEscaped = false
        } else if scalar == "~" {
          isEscaped = true
        } else {
          name.unicodeScalars.append(scalar)
        }
      }
      return isEscaped ? nil : name
    }
  }
#endif
