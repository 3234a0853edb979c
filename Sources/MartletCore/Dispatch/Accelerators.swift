// What may stand beside the store and make some things quicker: Redis. All that these say is advice. Whoever asks them goes on
// without an answer, the store decides, and what they lose is found by looking. `MartletRedis` is behind them; the engine only knows
// these words.

/// One could not be asked, or would not do it: a line for people.
package struct AcceleratorFailure: Error, Sendable, Hashable {
  package let message: String

  package init(_ message: String) {
    self.message = message
  }
}

/// A queue of the ids of READY tasks, in claim order, for all nodes.
package protocol Dispatcher: Sendable {
  /// Tasks that have become READY.
  func push(_ entries: [DispatchEntry]) async throws(AcceleratorFailure)
  /// Ids for each request, in order, that nobody else is given for a few seconds: time to claim them in the store.
  func take(_ requests: [ClaimRequest]) async throws(AcceleratorFailure) -> [[TaskID]]
  /// The store has judged: they are forgotten.
  func forget(_ ids: [TaskID]) async throws(AcceleratorFailure)
  /// The store could not be asked: others may have them.
  func giveBack(_ ids: [TaskID]) async throws(AcceleratorFailure)
  /// Those that have to be pushed.
  func unknown(among entries: [DispatchEntry]) async throws(AcceleratorFailure) -> [DispatchEntry]
  /// Returns if it answers.
  func check() async throws(AcceleratorFailure)
  /// True for one node of all in each such time, and for the first that asks after everything was forgotten.
  func takeTurn(for duration: Duration) async throws(AcceleratorFailure) -> Bool
}

/// What was submitted under idempotency keys lately.
package protocol KeyMemory: Sendable {
  func find(_ key: String) async throws(AcceleratorFailure) -> KnownKey?
  /// Only what the store has committed.
  func remember(_ keys: [(text: String, known: KnownKey)], for duration: Duration) async throws(AcceleratorFailure)
}

package struct KnownKey: Sendable, Hashable {
  package var fingerprint: [UInt8]
  package var tasks: [TaskID]

  package init(fingerprint: [UInt8], tasks: [TaskID]) {
    self.fingerprint = fingerprint
    self.tasks = tasks
  }
}

/// Tells other nodes where there is work.
package protocol LaneBell: Sendable {
  func ring(_ lanes: Set<Lane>) async throws(AcceleratorFailure)
  /// Hears the others; nil where any may have been missed. Called once; `hear` must return at once.
  func listen(_ hear: @escaping @Sendable (Set<Lane>?) -> Void)
}

/// All of them, as one program gives them.
package struct Accelerators: Sendable {
  package let name: String
  package let dispatcher: any Dispatcher
  package let keys: any KeyMemory
  package let bell: any LaneBell
  /// What is wrong with it now, in one line without secrets; nil where nothing is known to be.
  package let trouble: @Sendable () -> String?

  package init(
    name: String, dispatcher: any Dispatcher, keys: any KeyMemory, bell: any LaneBell,
    trouble: @escaping @Sendable () -> String?
  ) {
    self.name = name
    self.dispatcher = dispatcher
    self.keys = keys
    self.bell = bell
    self.trouble = trouble
  }
}
