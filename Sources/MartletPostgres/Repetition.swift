// Broken connections. Every call of the store is safe to repeat, so one whose answer was lost is repeated; only when that does
// not help in time is its outcome left unknown.

internal import MartletCore

extension PostgresStore {
  /// How long a call begins new tries: with the wait of the last for a connection, somebody is told within a second.
  private static let patience = Duration.milliseconds(500)

  /// Runs a call until it is answered. `body` is told whether an earlier try may have been committed.
  func repeating<Value: Sendable>(
    _ body: (_ isRepetition: Bool) async throws -> Value
  ) async throws(StoreError) -> Value {
    let deadline = ContinuousClock.now + Self.patience
    var isUnknown = false
    var conflicts = 0
    while true {
      do {
        return try await body(isUnknown)
      } catch let failure as PostgresFailure {
        switch failure {
        case .lost(let reason):
          isUnknown = true
          guard ContinuousClock.now < deadline else { throw .unknownOutcome(reason) }
        case .unavailable(let reason):
          guard ContinuousClock.now < deadline, isUnknown else {
            throw isUnknown ? .unknownOutcome(reason) : .unavailable(reason)
          }
        case .refused(let state, let message):
          guard failure.isConflict, conflicts < Self.mostConflicts else {
            throw Self.told(StoreError(.refused(sqlState: state, message: message)), after: isUnknown)
          }
          conflicts += 1
        }
      } catch let error as StoreError {
        throw Self.told(error, after: isUnknown)
      } catch let error as UnreadableRow {
        throw Self.told(
          .unusable("the database holds a row that this version cannot read: \(error.what)"), after: isUnknown)
      } catch {
        throw Self.told(.unavailable(String(describing: error)), after: isUnknown)
      }
    }
  }

  /// How often in one call.
  static let mostConflicts = 10

  /// However a later try ends: what an earlier one may have done is not undone by it.
  private static func told(_ error: StoreError, after isUnknown: Bool) -> StoreError {
    isUnknown ? .unknownOutcome(error.message) : error
  }
}

extension PostgresFailure {
  /// Deadlock, serialization failure: the server asks for a repetition. Nothing was changed.
  var isConflict: Bool {
    if case .refused(let state, _) = self { state.hasPrefix("40") } else { false }
  }
}
