// The lease protocol, by which workers in any language get work and give it back.

internal import MartletCore
internal import MartletEngine
internal import ServiceLifecycle

extension API {
  /// `POST /leases`: waits for work while the client does.
  func lease(_ call: Call) async throws(Problem) -> Answer {
    let host = call.connection.clientAddress
    let request = try LeaseRequest(json: call.body, name: call.credential.workerName(at: host), host: host)
    try call.credential.checkQueues(of: request)
    let result = await cancelWhenGracefulShutdown { [leases] () async -> Result<LeaseGrant, ServiceError> in
      await call.connection.cancelWhenClientLeaves { () async -> Result<LeaseGrant, ServiceError> in
        do throws(ServiceError) {
          return .success(try await leases.lease(request))
        } catch {
          return .failure(error)
        }
      }
    }
    let grant = try await serve { () async throws(ServiceError) in try result.get() }
    do throws(Problem) {
      try await call.confirm()
    } catch {
      await leases.giveBack(grant.tasks)
      throw error
    }
    var answer = grant.answer
    if !grant.tasks.isEmpty { answer.ifUnsent = { [leases] in await leases.giveBack(grant.tasks) } }
    return answer
  }

  /// `POST /leases/renew`
  func renewLeases(_ call: Call) async throws(Problem) -> Answer {
    let entries = try LeaseEntry<LeaseRenewal>.renewals(call.body)
    let verdicts = try await serve { () async throws(ServiceError) in
      try await leases.renew(entries.compactMap(\.value))
    }
    var rest = verdicts[...]
    return Self.answer(entries) { json, entry in
      entry.write(entry.value == nil ? .lost : rest.popFirst() ?? .lost, to: &json)
    }
  }

  /// `POST /leases/finish`
  func finishLeases(_ call: Call) async throws(Problem) -> Answer {
    let entries = try LeaseEntry<LeaseReport>.reports(call.body)
    let verdicts = try await serve { () async throws(ServiceError) in
      try await leases.finish(entries.compactMap { $0.isInvalid ? nil : $0.value })
    }
    var rest = verdicts[...]
    return Self.answer(entries) { json, entry in
      if entry.isInvalid {
        entry.write(nil, to: &json)
      } else {
        entry.write(entry.value == nil ? .lost : rest.popFirst() ?? .lost, to: &json)
      }
    }
  }

  /// One element for each entry, in order.
  private static func answer<Value>(
    _ entries: [LeaseEntry<Value>], _ write: (inout JSONWriter, LeaseEntry<Value>) -> Void
  ) -> Answer {
    .json(capacity: 64 + 256 * entries.count) { json in
      json.name("data")
      json.array(of: entries, write)
    }
  }
}

extension Credential {
  /// One that is bound to queues leases from those only, and names them.
  fileprivate func checkQueues(of request: LeaseRequest) throws(Problem) {
    guard queues != nil else { return }
    guard let names = request.queues, names != [ClaimRequest.allQueues] else {
      throw .forbidden("the credential is bound to queues: name those to lease from in \"queues\"")
    }
    let others = names.indices.filter { !mayUse(queue: names[$0]) }
    guard others.isEmpty else { throw .forbiddenQueues(at: others.map { "/queues/\($0)" }) }
  }
}
