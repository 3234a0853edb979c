// The calls about recurring tasks.

internal import MartletCore

extension MartletClient {
  /// All schedules that the caller may see, in order of their names; without payloads and further ticks.
  public func schedules() async throws -> [RemoteSchedule] {
    var schedules: [RemoteSchedule] = []
    var cursor: String?
    repeat {
      let answer = try await answer(to: .schedules(limit: 1000, cursor: cursor))
      schedules += try Reading.data(answer, RemoteSchedule.init)
      let next = try Reading.object(answer).text("nextCursor")
      if let next, next == cursor {
        throw MartletClientError.unexpectedAnswer(server: server, reason: "the list's nextCursor does not move")
      }
      cursor = next
    } while cursor != nil
    return schedules
  }

  /// One schedule, with its next ticks.
  /// - Parameter nextRuns: 0…100
  /// - Throws: `problem` with status 404 where there is none, or the caller may not see it.
  public func schedule(_ name: String, nextRuns: Int = 10) async throws -> RemoteSchedule {
    try RemoteSchedule(await answer(to: .schedule(name, nextRuns: nextRuns)))
  }

  /// Creates a schedule.
  /// - Throws: `problem` with status 409 where there is one of this name, 422 with its `errors` for a definition that is
  ///   not valid: each says what is wrong and what is allowed.
  public func createSchedule(_ definition: ScheduleDefinition) async throws -> RemoteSchedule {
    try RemoteSchedule(await answer(to: .createSchedule(definition)))
  }

  /// Creates a schedule, or puts the definition in the place of the one that is there. Putting the same once more
  /// changes nothing but `updatedAt`.
  public func putSchedule(_ definition: ScheduleDefinition) async throws -> RemoteSchedule {
    try RemoteSchedule(await answer(to: .putSchedule(definition)))
  }

  /// No more ticks until it is resumed. Reads the schedule and puts it back: a change by somebody else in between is lost.
  public func pauseSchedule(_ name: String) async throws -> RemoteSchedule {
    try await changeSchedule(name) { body in body.set("paused") { $0.bool(true) } }
  }

  /// Goes on with the first tick from now; those of the pause are not made up for. As `pauseSchedule`.
  public func resumeSchedule(_ name: String) async throws -> RemoteSchedule {
    try await changeSchedule(name) { body in body.set("paused") { $0.bool(false) } }
  }

  /// Makes a task now, whatever the schedule says, paused or not; its ticks stay where they are.
  ///
  /// As with `submit`, a second call makes a second task.
  public func triggerSchedule(_ name: String) async throws -> RemoteTask {
    try RemoteTask(await answer(to: .triggerSchedule(name)))
  }

  /// Deletes a schedule; its tasks stay.
  /// - Throws: `problem` with status 404 where there is none.
  public func deleteSchedule(_ name: String) async throws {
    _ = try await answer(to: .deleteSchedule(name))
  }

  package func changeSchedule(
    _ name: String, _ change: (inout ScheduleBody) throws -> Void
  ) async throws -> RemoteSchedule {
    var body = ScheduleBody(try await schedule(name, nextRuns: 0))
    try change(&body)
    return try RemoteSchedule(await answer(to: .putSchedule(body)))
  }
}

extension Call {
  package static func schedules(limit: Int, cursor: String?) -> Call {
    var call = Call(method: .get, path: "/schedules", query: [("limit", String(limit))])
    if let cursor { call.query.append(("cursor", cursor)) }
    return call
  }

  package static func schedule(_ name: String, nextRuns: Int) -> Call {
    Call(method: .get, path: path(name), query: [("next", String(nextRuns))])
  }

  package static func createSchedule(_ definition: ScheduleDefinition) -> Call {
    Call(method: .post, path: "/schedules").sending(definition)
  }

  package static func putSchedule(_ definition: ScheduleDefinition) -> Call {
    Call(method: .put, path: path(definition.name), isRepeatable: true).sending(definition)
  }

  package static func putSchedule(_ body: ScheduleBody) -> Call {
    Call(method: .put, path: path(body.name), body: body.json, isRepeatable: true)
  }

  package static func triggerSchedule(_ name: String) -> Call { Call(method: .post, path: path(name) + "/trigger") }
  package static func deleteSchedule(_ name: String) -> Call { Call(method: .delete, path: path(name)) }

  private static func path(_ name: String) -> String { "/schedules/\(escaped(name))" }

  private func sending(_ definition: ScheduleDefinition) -> Call {
    var call = self
    do throws(MartletClientError) {
      call.body = try definition.json()
    } catch {
      call.fault = error
    }
    return call
  }
}
