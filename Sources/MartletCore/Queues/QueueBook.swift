// The settings of queues and types, and the slots of concurrency keys, as part of the store's contract. What they mean for
// claims and submissions stands with those in `TaskStore.swift`.

package protocol QueueBook: Sendable {
  /// Every queue whose settings were ever changed.
  func queueSettings() async throws(StoreError) -> [String: QueueSettings]

  /// Changes a queue's settings, whether there is a task in it or not; answers what they are now. Holds for every claim and
  /// submission that begins after it, on all nodes; what runs goes on. A queue that is given a rate or another capacity begins
  /// with a full bucket.
  func change(queue: String, _ patch: QueuePatch, actor: String) async throws(StoreError) -> QueueSettings

  /// Every type whose settings were ever put.
  func typeSettings() async throws(StoreError) -> [String: TypeSettings]

  /// Puts a type's settings in the place of what they were. A pause holds for every claim that begins after it.
  func put(type: String, _ settings: TypeSettings, actor: String) async throws(StoreError)

  /// Gives free slots of concurrency keys to READY tasks that wait for one: of at most `limit` keys.
  ///
  /// A task with a key is given out only once it has been admitted. A key of a queue has as many slots as the queue's
  /// `concurrencyPerKey`, over all nodes and types; one is taken from the admission on, until the task ends, is given back, or
  /// leaves READY otherwise. The next is admitted by priority, `availableAt`, id, tasks of paused types left out. One that
  /// nobody has taken a second after its admission gives way, where tasks of other types wait for the key, to the first of the
  /// type that has not had to give way for longest (one that never had to before all others). A store may do any of this
  /// already in the transactions that free a slot or make a task READY; where it does not, it tells `StoreHint.unadmitted`.
  func admit(limit: Int) async throws(StoreError) -> Admission
}

package struct Admission: Sendable, Hashable {
  /// Where tasks were admitted.
  package var lanes: Set<Lane>
  /// True when the limit cut this call short.
  package var isPartial: Bool
  /// How long until one that nobody takes has to give way; nil while there is none.
  package var nextIn: Duration?

  package init(lanes: Set<Lane>, isPartial: Bool, nextIn: Duration?) {
    self.lanes = lanes
    self.isPartial = isPartial
    self.nextIn = nextIn
  }

  /// How long an admitted task may keep its slot without being taken.
  package static let patience = Duration.seconds(1)
}
