// The part of the store's contract that keeps whom to tell. A task with `notify` that becomes SUCCESS, DEAD or CANCELLED, on whatever
// way, leaves a notice for each of its receivers that hears of this state, in the transition's own transaction. It does so each time: a
// task that is retried by hand and dies again is told of again.

package protocol NoticeBook: Sendable {
  /// Takes notices that are due, those due first before others of the same destination, and counts a delivery of each. Nobody else gets
  /// one of them for `hold`; what is not settled by then is due again.
  func takeNotices(_ request: NoticeRequest) async throws(StoreError) -> NoticeTurn

  /// What came of deliveries, each of which is told once. Passed over are those that were taken by somebody since, or sent again.
  func settleNotices(_ reports: [NoticeReport]) async throws(StoreError)

  /// Latest first. A page may be short, even empty, while `next` is set.
  func notices(_ query: NoticeQuery) async throws(StoreError) -> NoticeList

  /// Nil where there is none.
  func notice(_ id: NoticeID) async throws(StoreError) -> NoticeRecord?

  /// Makes it due now, with a fresh budget; one that is being delivered is left as it is. Written to the audit.
  /// - Returns: it as it is now; nil where there is none.
  func resend(notice id: NoticeID, actor: String) async throws(StoreError) -> NoticeRecord?

  /// Gives up at most `limit` notices that have been PENDING for `NoticePatience.longest` and are not being delivered; how many.
  func abandonNotices(limit: Int) async throws(StoreError) -> Int

  /// How many are PENDING, up to `NoticePatience.mostCounted`, and when the oldest of them came to be.
  func waitingNotices() async throws(StoreError) -> WaitingNotices
}

package struct NoticeRequest: Sendable, Hashable {
  package var channels: Set<NoticeChannel>
  package var limit: Int
  /// No more for one destination.
  package var perDestination: Int
  /// Destinations that get nothing now.
  package var without: Set<String>
  /// Destinations up to this one are passed over; nil begins with the first.
  package var after: String?
  package var hold: Duration

  package init(
    channels: Set<NoticeChannel> = Set(NoticeChannel.allCases), limit: Int, perDestination: Int,
    without: Set<String> = [], after: String? = nil, hold: Duration
  ) {
    self.channels = channels
    self.limit = limit
    self.perDestination = perDestination
    self.without = without
    self.after = after
    self.hold = hold
  }

  /// Destinations that one call looks at.
  package static let mostDestinations = 1000
}

package struct NoticeTurn: Sendable, Hashable {
  package var notices: [NoticeRecord]
  /// There may be more, behind this destination; nil after the last.
  package var next: String?

  package init(notices: [NoticeRecord], next: String?) {
    self.notices = notices
    self.next = next
  }
}

package struct NoticeReport: Sendable, Hashable {
  package enum Outcome: Sendable, Hashable {
    case delivered
    /// To be tried again after this time.
    case failed(String, pause: Duration)
    /// No further try.
    case dead(String)
  }

  package var id: NoticeID
  /// `attempts` as it was taken.
  package var attempt: Int
  package var outcome: Outcome

  package init(id: NoticeID, attempt: Int, outcome: Outcome) {
    self.id = id
    self.attempt = attempt
    self.outcome = outcome
  }

  /// Longer ones are cut.
  package static let longestError = 1000
}

package struct NoticeQuery: Sendable, Hashable {
  package var task: TaskID?
  /// Empty: all.
  package var statuses: Set<NoticeRecord.Status> = []
  /// Queues that the caller may see; nil: all.
  package var scope: [QueuePattern]?
  package var limit = 50
  /// Those with lower numbers.
  package var before: Int64?

  package init() {}

  package func matches(_ notice: NoticeRecord) -> Bool {
    (task == nil || notice.id.task == task) && (statuses.isEmpty || statuses.contains(notice.status))
      && scope?.contains { $0.matches(notice.queue) } != false && before.map { notice.number < $0 } != false
  }
}

package struct NoticeList: Sendable, Hashable {
  package var notices: [NoticeRecord]
  /// The number before which the next page begins; nil after the last.
  package var next: Int64?

  package init(notices: [NoticeRecord], next: Int64?) {
    self.notices = notices
    self.next = next
  }
}

package struct WaitingNotices: Sendable, Hashable {
  package var count: Int
  package var oldest: Timestamp?

  package init(count: Int, oldest: Timestamp?) {
    self.count = count
    self.oldest = oldest
  }
}

extension AuditAction {
  package static let resendNotice = AuditAction(rawValue: "notice.resend")
}

extension NoticeReport.Outcome {
  /// What it makes of a notice whose budget is not used up, after which pause it is due, and what went wrong.
  package var columns: (status: NoticeRecord.Status, pause: Duration, error: String?) {
    func cut(_ text: String) -> String { String(text.unicodeScalars.prefix(NoticeReport.longestError)) }
    return switch self {
    case .delivered: (.delivered, .zero, nil)
    case .failed(let error, let pause): (.pending, pause, cut(error))
    case .dead(let error): (.dead, .zero, cut(error))
    }
  }
}

extension NoticePatience {
  /// What is said of one that was given up without a try.
  package static let nobody = "no node could send it: none with the role notifier has this channel"
}
