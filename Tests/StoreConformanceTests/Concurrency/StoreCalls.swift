// The calls by which many deal with one task, as values: a test puts another in the place of one to break it.

import MartletCore
import MartletTestKit

struct StoreCalls: Sendable {
  var submit: @Sendable (Submission) async throws(StoreError) -> SubmissionVerdict
  var claim: @Sendable (ClaimRequest) async throws(StoreError) -> [ClaimedTask]
  var renew: @Sendable ([Renewal]) async throws(StoreError) -> [RenewalVerdict]
  var finish: @Sendable ([Finish]) async throws(StoreError) -> [FinishVerdict]
  var rescue: @Sendable () async throws(StoreError) -> [Rescue.Rescued]
  var promote: @Sendable () async throws(StoreError) -> Int
  var steer: @Sendable (Steering) async throws(StoreError) -> SteeringVerdict
  var task: @Sendable (TaskID) async throws(StoreError) -> TaskRecord?
  var attempts: @Sendable (TaskID) async throws(StoreError) -> [AttemptRecord]?
  var events: @Sendable (TaskID) async throws(StoreError) -> [TaskEvent]?

  init(_ store: any TaskStore) {
    submit = { (submission) async throws(StoreError) in
      try only(try await store.submit([submission]))
    }
    claim = { (request) async throws(StoreError) in try only(try await store.claim([request])) }
    renew = { (renewals) async throws(StoreError) in try await store.renew(renewals) }
    finish = { (finishes) async throws(StoreError) in try await store.finish(finishes) }
    rescue = { () async throws(StoreError) in try await store.rescue(limit: 100, randomness: 0).rescued }
    promote = { () async throws(StoreError) in try await store.promote(limit: 100).promoted }
    steer = { (command) async throws(StoreError) in try only(try await store.steer([command])) }
    task = { (id) async throws(StoreError) in try only(try await store.tasks([id])) }
    attempts = { (id) async throws(StoreError) in try await store.attempts(of: id) }
    events = { (id) async throws(StoreError) in try await store.events(of: id) }
  }
}

/// The one answer to the one thing asked.
private func only<Answer>(_ answers: [Answer]) throws(StoreError) -> Answer {
  guard let answer = answers.first, answers.count == 1 else {
    throw .unusable("\(answers.count) answers to one question")
  }
  return answer
}
