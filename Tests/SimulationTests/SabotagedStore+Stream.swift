// `SabotagedStore` passes on what it is asked of the event stream.

import MartletCore
import MartletTestKit

extension SabotagedStore {
  func appendToStream(_ events: [OutgoingEvent], relay: String) async throws(StoreError) -> Bool {
    try await inner.appendToStream(events, relay: relay)
  }

  func streamPage(after position: Int64, limit: Int) async throws(StoreError) -> StreamPage {
    try await inner.streamPage(after: position, limit: limit)
  }

  func pruneStream(olderThan age: Duration, limit: Int) async throws(StoreError) -> Int {
    try await inner.pruneStream(olderThan: age, limit: limit)
  }
}
