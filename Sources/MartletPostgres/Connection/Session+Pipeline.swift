// Several queries in one round trip. Everything up to the one Sync is one implicit transaction of the server's: committed as a
// whole when the Sync arrives, or not at all.

internal import CPostgres

extension Session {
  /// One result per query.
  /// - Parameter isNamed: false sends each statement's text without leaving a trace in the server's session.
  func pipeline(
    _ queries: [Query], isNamed: Bool, until deadline: ContinuousClock.Instant
  ) throws(SessionFailure) -> [Rows] {
    // Outside of pipeline mode each query would be a transaction of its own.
    guard PQpipelineStatus(handle) == PQ_PIPELINE_ON else { throw .unsent(errorMessage) }
    let steps = try send(queries, isNamed: isNamed)
    return try receive(steps, count: queries.count, until: deadline)
  }

  /// A script of any number of statements by the simple protocol, in one transaction.
  func script(_ sql: String, until deadline: ContinuousClock.Instant) throws(SessionFailure) {
    guard PQexitPipelineMode(handle) == 1, PQsendQuery(handle, sql) == 1 else { throw .unsent(errorMessage) }
    var refusal: SessionFailure?
    while true {
      try awaitResult(until: deadline)
      guard let result = PQgetResult(handle) else { break }
      defer { PQclear(result) }
      if PQresultStatus(result) == PGRES_FATAL_ERROR, refusal == nil { refusal = try read(error: result) }
    }
    guard PQstatus(handle) == CONNECTION_OK else { throw .lost(errorMessage, isTimeout: false) }
    let isFit = PQtransactionStatus(handle) == PQTRANS_IDLE && PQenterPipelineMode(handle) == 1
    if case .refused(let sqlState, let message, let wasFit) = refusal {
      throw .refused(sqlState: sqlState, message: message, isFit: wasFit && isFit)
    }
    guard isFit else { throw .lost("the script left a transaction open", isTimeout: false) }
  }

  private enum Step {
    case prepare(String, Prepared)
    case query
  }

  private func send(_ queries: [Query], isNamed: Bool) throws(SessionFailure) -> [Step] {
    var steps: [Step] = []
    steps.reserveCapacity(queries.count + 1)
    var announced: [String: Prepared] = [:]
    for query in queries {
      let name = query.statement.name
      if isNamed {
        if let known = prepared[name] ?? announced[name] {
          assert(known == Prepared(query), "two statements are named \(name)")
        } else {
          let statement = Prepared(query)
          guard
            PQsendPrepare(handle, name, statement.sql, Int32(clamping: statement.types.count), statement.types) == 1
          else { throw .unsent(errorMessage) }
          announced[name] = statement
          steps.append(.prepare(name, statement))
        }
      }
      guard send(query, isNamed: isNamed) else { throw .unsent(errorMessage) }
      steps.append(.query)
    }
    guard PQpipelineSync(handle) == 1 else { throw .lost(errorMessage, isTimeout: false) }
    return steps
  }

  private func send(_ query: Query, isNamed: Bool) -> Bool {
    let parameters = query.parameters
    let count = Int32(clamping: parameters.count)
    let formats = [Int32](repeating: 1, count: parameters.count)
    return withPointers(parameters) { values, lengths in
      if isNamed {
        PQsendQueryPrepared(handle, query.statement.name, count, values, lengths, formats, 1) == 1
      } else {
        PQsendQueryParams(handle, query.statement.sql, count, parameters.map(\.type), values, lengths, formats, 1) == 1
      }
    }
  }

  private func receive(
    _ steps: [Step], count: Int, until deadline: ContinuousClock.Instant
  ) throws(SessionFailure) -> [Rows] {
    var rows: [Rows] = []
    rows.reserveCapacity(count)
    var refusal: SessionFailure?
    var next = 0
    var isBetween = false
    while true {
      try awaitResult(until: deadline)
      guard let result = PQgetResult(handle) else {
        // libpq puts one of these after each result; more of them mean that there is nothing to come.
        guard PQstatus(handle) == CONNECTION_OK, !isBetween else { throw .lost(errorMessage, isTimeout: false) }
        isBetween = true
        continue
      }
      isBetween = false
      let status = PQresultStatus(result)
      if status == PGRES_TUPLES_OK, next < steps.count {
        rows.append(Rows(result))
        next += 1
        continue
      }
      if status == PGRES_COMMAND_OK, next < steps.count {
        if case .prepare(let name, let statement) = steps[next] {
          PQclear(result)
          prepared[name] = statement
        } else {
          rows.append(Rows(result))
        }
        next += 1
        continue
      }
      defer { PQclear(result) }
      switch status {
      case PGRES_PIPELINE_SYNC:
        if let refusal { throw refusal }
        guard rows.count == count else { throw .lost("the database answered out of turn", isTimeout: false) }
        return rows
      case PGRES_FATAL_ERROR: if refusal == nil { refusal = try read(error: result) }
      case PGRES_PIPELINE_ABORTED: break
      default: throw .lost("the database answered out of turn", isTimeout: false)
      }
    }
  }

  /// - Throws: `.lost` if the server ends the session with this error, or libpq made it up because the connection broke.
  private func read(error result: OpaquePointer) throws(SessionFailure) -> SessionFailure {
    func field(_ code: Int) -> String? {
      PQresultErrorField(result, Int32(code)).map { oneLine(String(cString: $0)) }
    }
    let primary = field(PQ_PRIMARY) ?? errorMessage
    guard let sqlState = field(PQ_SQLSTATE), field(PQ_SEVERITY) == "ERROR" else {
      throw .lost(primary, isTimeout: false)
    }
    let message = [primary, field(PQ_DETAIL), field(PQ_HINT)].compactMap(\.self).joined(separator: "; ")
    // The session's statements no longer fit the schema, or are not its own: a new session is cheaper than to find out which.
    let isStale = ["0A000", "26000", "42P05"].contains(sqlState)
    return .refused(sqlState: sqlState, message: message, isFit: !isStale)
  }
}

/// The parameters as libpq takes them: all in one piece of memory, so that one address holds for all of them.
private func withPointers<Result>(
  _ parameters: [PostgresValue],
  _ body: (UnsafePointer<UnsafePointer<CChar>?>, UnsafePointer<Int32>) -> Result
) -> Result {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(parameters.reduce(1) { $0 + ($1.bytes?.count ?? 0) })
  for parameter in parameters {
    if let value = parameter.bytes { bytes.append(contentsOf: value) }
  }
  bytes.append(0)  // an empty value needs an address too: a null pointer would be NULL
  return bytes.withUnsafeBytes { buffer in
    var values: [UnsafePointer<CChar>?] = []
    var lengths: [Int32] = []
    values.reserveCapacity(parameters.count)
    lengths.reserveCapacity(parameters.count)
    var start = buffer.baseAddress!.assumingMemoryBound(to: CChar.self)
    for parameter in parameters {
      let count = parameter.bytes?.count ?? 0
      values.append(parameter.bytes == nil ? nil : start)
      lengths.append(Int32(count))
      start += count
    }
    return body(values, lengths)
  }
}

extension Session.Prepared {
  fileprivate init(_ query: Query) {
    self.init(sql: query.statement.sql, types: query.parameters.map(\.type))
  }
}
