// The way of a notice out of the house, of which the notifier knows no more than this.

/// What there is to tell, and to whom.
package struct NoticeDelivery: Sendable, Hashable {
  package var notice: NoticeRecord
  /// As it was when it ended.
  package var task: TaskRecord
  /// Of its last attempt.
  package var logs: [String]
  /// Of this delivery, by the store's clock.
  package var now: Timestamp

  package init(notice: NoticeRecord, task: TaskRecord, logs: [String], now: Timestamp) {
    self.notice = notice
    self.task = task
    self.logs = logs
    self.now = now
  }
}

package enum NoticeVerdict: Sendable, Hashable {
  /// The receiver has it.
  case delivered
  /// It may not have it: to be tried again, after the given time if the receiver has asked for one. One line, never a secret.
  case failed(String, after: Duration? = nil)
  /// No try will help.
  case refused(String)
}

package protocol NoticeSender: Sendable {
  /// What this node can send by.
  var channels: Set<NoticeChannel> { get }

  /// Brings it to the receiver and waits for its answer. Never throws; answers within a minute, also when nobody answers it, and soon
  /// when it is cancelled.
  func deliver(_ delivery: NoticeDelivery) async -> NoticeVerdict
}
