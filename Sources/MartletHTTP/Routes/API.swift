// What the routes work with, and what they share. The routes themselves are in the extensions beside this file, one
// file for each kind of thing.

internal import MartletCore
internal import MartletEngine

struct API: Sendable {
  let tasks: TaskService
  let leases: LeaseService
  let schedules: ScheduleService
  let keys: APIKeyOffice
  let renderMetrics: @Sendable () async throws -> String
  let versionText: String
  let trouble: TroubleLog
  /// There is authentication: open routes tell strangers nothing of what is behind the server.
  let isGuarded: Bool
}

extension Call {
  /// The id in the path; what is no id cannot be found.
  func taskID() throws(Problem) -> TaskID {
    guard let id = TaskID(parameter) else { throw .noTask(parameter) }
    return id
  }
}

extension API {
  /// Runs a call of the service; its errors become problems, and trouble with the store is logged.
  func serve<Value>(
    task: TaskID? = nil, _ call: () async throws(ServiceError) -> Value
  ) async throws(Problem) -> Value {
    do {
      return try await call()
    } catch {
      if case .store(let storeError, _) = error { trouble.store(storeError) }
      throw Problem(error, task: task)
    }
  }
}
