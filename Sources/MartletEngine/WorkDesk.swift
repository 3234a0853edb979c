// The store as a source of work, with its calls gathered and measured: what the local worker and, through HTTP, remote ones
// are served by.

internal import MartletCore

final class WorkDesk: WorkSource {
  private let parts: EngineParts
  private let dispatch: DispatchDesk?
  private let finishing: Coalescer<Finish, FinishVerdict>
  private let renewing: Coalescer<Renewal, RenewalVerdict>

  /// - Parameter dispatch: claims go through it, where there is one.
  init(_ parts: EngineParts, _ dispatch: DispatchDesk? = nil) {
    self.parts = parts
    self.dispatch = dispatch
    let lanes = parts.store.preferredConcurrency
    finishing = Coalescer(largestBatch: 1000, lanes: lanes) { (finishes) throws(StoreError) in
      try await parts.timed("finish", items: finishes.count) { () throws(StoreError) in
        try await parts.store.finish(finishes)
      }
    }
    renewing = Coalescer(largestBatch: 1000, lanes: lanes) { (renewals) throws(StoreError) in
      try await parts.timed("renew", items: renewals.count) { () throws(StoreError) in
        try await parts.store.renew(renewals)
      }
    }
  }

  func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    if let dispatch { return try await dispatch.claim(requests) }
    return try await parts.timed("claim", items: requests.count) { () throws(StoreError) in
      try await parts.store.claim(requests)
    }
  }

  func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    try await parts.shared("renew", renewing, renewals)
  }

  func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    try await parts.shared("finish", finishing, finishes)
  }
}
