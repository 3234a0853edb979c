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
  /// A repeated submission is told of the task of the key that was repeated before.
  case swapsAnswers
  /// Of tasks that are read together each is told as another.
  case mixesUpReads
  /// Now and then a task is stored with the priority and the retries of the defaults.
  case storesOtherwise
  /// The delay that was asked for is forgotten.
  case dropsDelays
  /// What has expired is begun all the same.
  case startsExpired
  /// A lease is renewed past the end of its attempt's time.
  case renewsPastTimeout
  /// A report that comes too late is refused, and written into the attempt that has ended.
  case rewritesAttempts
  /// A worker that takes over stands in the events of the attempts before its own.
  case rewritesEvents
  /// Now and then a cancel is acknowledged and not done.
  case forgetsCancels
  /// A running task's cancel is forgotten when its attempt ends.
  case forgetsRequests
  /// A process that stood still does not know it: its clock stood, too.
  case stopsClocks
}

extension Sabotage {
  /// What it has to be found as, by the numbers of docs/guarantees.md: a world that breaks another promise has not found it.
  package var promises: Set<String> {
    switch self {
    case .forgetsSubmission, .takesUnknownForFailure, .mixesUpReads, .storesOtherwise: ["G1"]
    case .overstatesLeases, .leaksSlots, .stopsClocks: ["G2"]
    case .finishesWithoutFence, .renewsWithoutFence, .claimsTwice, .cancelsSuccess, .rewritesAttempts, .rewritesEvents:
      ["G3"]
    case .forgetsRenewal, .rescuesWithoutLook, .renewsPastTimeout: ["G4"]
    case .checksKeysOutside, .swapsAnswers: ["G5"]
    case .writesHalfABatch: ["G6"]
    case .tellsAfterCommit, .settlesUndelivered, .readsByCursor: ["G7"]
    case .startsEarly, .ticksTwice, .dropsDelays, .startsExpired: ["G8"]
    case .countsAtFailure, .chargesForSnoozes: ["G9"]
    case .countsParentsTwice, .missesParents, .neverReleasesHeld: ["G10"]
    case .forgetsCancels, .forgetsRequests: ["G11"]
    case .prunesParents, .prunesUntold: ["G15"]
    case .overbooksSlots: ["G19"]
    case .losesPlace, .actsOnLater, .leavesOut, .ignoresRate: ["G20"]
    case .auditsApart: ["G21"]
    case .noticesOnlyReports: ["G24"]
    }
  }
}

/// What a sabotaged model remembers to do wrong.
struct SabotageMemory {
  var keys: [String: MemoryKey] = [:]
  var overdue: Set<TaskID> = []
  var leaked: [MemoryLine: Int] = [:]
  var cursors: [String: Int64] = [:]
  /// What the last repeated submission had made.
  var replayed: [Int: TaskID] = [:]
  /// Of the transaction under way: it is a report, and it has told somebody of an end.
  var isReport = false
  var hasSettled = false
}
