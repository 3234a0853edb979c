// Notices as people see them: whom was told what, and once more.

package import MartletCore

extension TaskService {
  package func notices(
    _ query: NoticeQuery, as caller: Credential = .unguarded
  ) async throws(ServiceError) -> NoticeList {
    var query = query
    query.scope = caller.queues
    return try await store("notices") { (store) throws(StoreError) in try await store.notices(query) }
  }

  /// Makes it due now, with a fresh budget.
  package func resend(_ id: NoticeID, as caller: Credential = .unguarded) async throws(ServiceError) -> NoticeRecord {
    let known = try found(try await store("notice") { (store) throws(StoreError) in try await store.notice(id) })
    guard caller.mayUse(queue: known.queue) else { throw .notFound }
    let notice = try found(
      try await store("resend-notice") { (store) throws(StoreError) in
        try await store.resend(notice: id, actor: caller.actor)
      })
    parts.notices.areUsed()
    parts.notices.alarm.ring()
    return notice
  }
}
