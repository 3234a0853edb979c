// Bugs put in on purpose, each of a kind that task queues have had: the reference model and the simulated link have switches for them.
// A simulation is worth its name if it finds them all. Nothing of it is compiled into Martlet.

internal import MartletCore

package enum Sabotage: String, CaseIterable, Sendable {
  /// Now and then a submission is acknowledged and not written.
  case forgetsSubmission
  /// Of a batch that is refused the first task is written.
  case writesHalfABatch
  /// Keys are looked up in what was there a while ago, as by a look before the transaction.
  case checksKeysOutside
  /// A report is taken for the attempt that runs, whoever it comes from.
  case finishesWithoutFence
  /// A renewal prolongs the lease that stands, whoever asks.
  case renewsWithoutFence
  /// A renewal is granted and not written.
  case forgetsRenewal
  /// The rescuer ends what it found a while ago, without another look.
  case rescuesWithoutLook
  /// A worker takes its lease for longer than it is.
  case overstatesLeases
  /// A claim also gets what another one has just taken.
  case claimsTwice
  /// Time comes two seconds early.
  case startsEarly
  /// An attempt that lost its worker costs nothing.
  case countsAtFailure
  /// A snooze costs an attempt.
  case chargesForSnoozes
  /// A cancel overwrites a success.
  case cancelsSuccess
  /// A repeated report counts once more for those that wait.
  case countsParentsTwice
  /// Of parents that end in one transaction only the first is counted.
  case missesParents
  /// Whoever waits for a dead task is not told when it has been retried and succeeds.
  case neverReleasesHeld
  /// A crashed worker's slot of a concurrency key stays taken.
  case leaksSlots
  /// There is a slot too many.
  case overbooksSlots
  /// Schedules move without a look at where they stand.
  case ticksTwice
  /// Retention does not ask who still waits for a task.
  case prunesParents
  /// Retention does not ask who has still to be told.
  case prunesUntold
  /// Events are written after the transition has committed, and a crash comes between.
  case tellsAfterCommit
  /// Entries of the outbox are taken for delivered when they are handed out.
  case settlesUndelivered
  /// The outbox is read by a cursor: what commits late is skipped.
  case readsByCursor
  /// Only reports of workers write notices, not the other ways to an end.
  case noticesOnlyReports
  /// An action in bulk does not keep how far it has come.
  case losesPlace
  /// An action in bulk is about what comes after it, too.
  case actsOnLater
  /// An action in bulk passes by one task in eight.
  case leavesOut
  /// An action in bulk does not wait for its next page.
  case ignoresRate
  /// The audit is written after the act has committed, and a crash comes between.
  case auditsApart
  /// Whether it was committed is not known, and it is taken for a failure.
  case takesUnknownForFailure
}

/// What a sabotaged model remembers to do wrong.
struct SabotageMemory {
  var keys: [String: MemoryKey] = [:]
  var overdue: Set<TaskID> = []
  var leaked: [MemoryLine: Int] = [:]
  var cursors: [String: Int64] = [:]
  /// Of the transaction under way: it is a report, and it has told somebody of an end.
  var isReport = false
  var hasSettled = false
}
