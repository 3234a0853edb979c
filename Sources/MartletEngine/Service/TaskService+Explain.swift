// Why a task is not running now.

package import MartletCore

extension TaskService {
  /// What the task waits for in queues that the caller is not bound to is counted and not named.
  package func explain(_ id: TaskID, as caller: Credential = .unguarded) async throws(ServiceError) -> Explanation {
    var facts = try found(try await store("explain") { (store) throws(StoreError) in try await store.facts(of: id) })
    guard caller.mayUse(queue: facts.task.queue) else { throw .notFound }
    guard caller.queues != nil else { return Explanation(facts) }
    let parents = facts.waitsFor.map(\.id)
    if !parents.isEmpty {
      let records = try await store("read") { (store) throws(StoreError) in try await store.tasks(parents) }
      let visible = Set(records.compactMap { $0 }.filter { caller.mayUse(queue: $0.queue) }.map(\.id))
      facts.waitsFor.removeAll { !visible.contains($0.id) }
    }
    facts.workers = facts.workers.visible(to: caller)
    return Explanation(facts)
  }
}
