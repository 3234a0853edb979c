// `SabotagedStore` passes on what it is asked of notices.

import MartletCore
import MartletTestKit

extension SabotagedStore {
  func takeNotices(_ request: NoticeRequest) async throws(StoreError) -> NoticeTurn {
    try await inner.takeNotices(request)
  }

  func settleNotices(_ reports: [NoticeReport]) async throws(StoreError) { try await inner.settleNotices(reports) }

  func notices(_ query: NoticeQuery) async throws(StoreError) -> NoticeList { try await inner.notices(query) }

  func notice(_ id: NoticeID) async throws(StoreError) -> NoticeRecord? { try await inner.notice(id) }

  func resend(notice id: NoticeID, actor: String) async throws(StoreError) -> NoticeRecord? {
    try await inner.resend(notice: id, actor: actor)
  }

  func abandonNotices(limit: Int) async throws(StoreError) -> Int { try await inner.abandonNotices(limit: limit) }

  func waitingNotices() async throws(StoreError) -> WaitingNotices { try await inner.waitingNotices() }
}
