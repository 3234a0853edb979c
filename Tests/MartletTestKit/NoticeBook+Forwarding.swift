// The notices of the reference model, and of stores within stores.

package import MartletCore

extension MemoryStore {
  package func takeNotices(_ request: NoticeRequest) async throws(StoreError) -> NoticeTurn {
    try transaction { state, now in state.takeNotices(request, now: now) }
  }

  package func settleNotices(_ reports: [NoticeReport]) async throws(StoreError) {
    try transaction { state, now in for report in reports { state.settle(report, now: now) } }
  }

  package func notices(_ query: NoticeQuery) async throws(StoreError) -> NoticeList {
    try transaction { state, _ in state.list(query) }
  }

  package func notice(_ id: NoticeID) async throws(StoreError) -> NoticeRecord? {
    try transaction { state, _ in state.notice(id) }
  }

  package func resend(notice id: NoticeID, actor: String) async throws(StoreError) -> NoticeRecord? {
    try transaction { state, now in state.resend(id, actor: actor, now: now) }
  }

  package func abandonNotices(limit: Int) async throws(StoreError) -> Int {
    try transaction { state, now in state.abandonNotices(limit: limit, now: now) }
  }

  package func waitingNotices() async throws(StoreError) -> WaitingNotices {
    try transaction { state, _ in state.waitingNotices() }
  }
}

extension FaultyStore {
  package func takeNotices(_ request: NoticeRequest) async throws(StoreError) -> NoticeTurn {
    try await call(.takeNotices) { () async throws(StoreError) in try await inner.takeNotices(request) }
  }

  package func settleNotices(_ reports: [NoticeReport]) async throws(StoreError) {
    try await call(.settleNotices) { () async throws(StoreError) in try await inner.settleNotices(reports) }
  }

  package func notices(_ query: NoticeQuery) async throws(StoreError) -> NoticeList {
    try await call(.notices) { () async throws(StoreError) in try await inner.notices(query) }
  }

  package func notice(_ id: NoticeID) async throws(StoreError) -> NoticeRecord? {
    try await call(.notice) { () async throws(StoreError) in try await inner.notice(id) }
  }

  package func resend(notice id: NoticeID, actor: String) async throws(StoreError) -> NoticeRecord? {
    try await call(.resend) { () async throws(StoreError) in try await inner.resend(notice: id, actor: actor) }
  }

  package func abandonNotices(limit: Int) async throws(StoreError) -> Int {
    try await call(.abandonNotices) { () async throws(StoreError) in try await inner.abandonNotices(limit: limit) }
  }

  package func waitingNotices() async throws(StoreError) -> WaitingNotices {
    try await call(.waitingNotices) { () async throws(StoreError) in try await inner.waitingNotices() }
  }
}

extension SimulatedLink {
  package func takeNotices(_ request: NoticeRequest) async throws(StoreError) -> NoticeTurn {
    try await call { (store) throws(StoreError) in try await store.takeNotices(request) }
  }

  package func settleNotices(_ reports: [NoticeReport]) async throws(StoreError) {
    try await call { (store) throws(StoreError) in try await store.settleNotices(reports) }
  }

  package func notices(_ query: NoticeQuery) async throws(StoreError) -> NoticeList {
    try await call { (store) throws(StoreError) in try await store.notices(query) }
  }

  package func notice(_ id: NoticeID) async throws(StoreError) -> NoticeRecord? {
    try await call { (store) throws(StoreError) in try await store.notice(id) }
  }

  package func resend(notice id: NoticeID, actor: String) async throws(StoreError) -> NoticeRecord? {
    try await call { (store) throws(StoreError) in try await store.resend(notice: id, actor: actor) }
  }

  package func abandonNotices(limit: Int) async throws(StoreError) -> Int {
    try await call { (store) throws(StoreError) in try await store.abandonNotices(limit: limit) }
  }

  package func waitingNotices() async throws(StoreError) -> WaitingNotices {
    try await call { (store) throws(StoreError) in try await store.waitingNotices() }
  }
}
