// The notices of the reference model: tasks write down their endings as they tell them, and at the end of a transaction each becomes
// one notice for each receiver that hears of it.

internal import MartletCore

struct MemoryNotice {
  var record: NoticeRecord
  var pendingSince: Timestamp
  var nextAt: Timestamp
  var isHeld = false
}

/// How a task ended.
struct MemoryEnding {
  var sequence: Int
  var status: TaskStatus
  var reason: FinalReason?
  var attempt: Int
  var maxAttempts: Int
  var startedAt: Timestamp?
  var at: Timestamp
}

extension MemoryState {
  mutating func writeNotices() {
    guard hasReceivers else { return }
    let ended = tasks.before.keys.filter { tasks[$0]?.endings.isEmpty == false }.sorted()
    for id in ended {
      guard let task = tasks[id] else { continue }
      tasks[id]?.endings = []
      if sabotage == .noticesOnlyReports, !sabotaged.isReport { continue }
      for ending in task.endings {
        for (place, target) in task.record.notify.enumerated() where target.on.contains(ending.status) {
          noticeNumber += 1
          let record = NoticeRecord(
            id: NoticeID(task: id, sequence: ending.sequence, place: place), number: noticeNumber,
            type: task.record.type, queue: task.record.queue, channel: target.channel, target: target.text,
            destination: target.destination, taskStatus: ending.status, reason: ending.reason, attempt: ending.attempt,
            maxAttempts: ending.maxAttempts, startedAt: ending.startedAt, status: .pending, attempts: 0,
            mostAttempts: NoticePatience.attempts, createdAt: ending.at, updatedAt: ending.at,
            nextAttemptAt: ending.at, lastError: nil)
          notices.append(MemoryNotice(record: record, pendingSince: ending.at, nextAt: ending.at))
        }
      }
    }
  }

  mutating func takeNotices(_ request: NoticeRequest, now: Timestamp) -> NoticeTurn {
    var taken: [NoticeRecord] = []
    let destinations = Set(notices.filter { $0.record.status == .pending }.map(\.record.destination)).sorted()
    for destination in destinations where destination > request.after ?? "" {
      guard !request.without.contains(destination) else { continue }
      let due = notices.indices.filter { index in
        let notice = notices[index]
        return notice.record.status == .pending && notice.record.destination == destination && notice.nextAt <= now
          && request.channels.contains(notice.record.channel)
      }.sorted { (notices[$0].nextAt, notices[$0].record.number) < (notices[$1].nextAt, notices[$1].record.number) }
      for index in due.prefix(request.perDestination) {
        if taken.count == request.limit { return NoticeTurn(notices: taken, next: taken.map(\.destination).max()) }
        notices[index].record.attempts += 1
        notices[index].record.updatedAt = now
        notices[index].nextAt = now + request.hold
        notices[index].isHeld = true
        taken.append(told(notices[index]))
      }
    }
    return NoticeTurn(notices: taken, next: nil)
  }

  mutating func settle(_ report: NoticeReport, now: Timestamp) {
    guard
      let index = notices.firstIndex(where: {
        $0.record.id == report.id && $0.record.attempts == report.attempt && $0.isHeld
      })
    else { return }
    let (status, pause, error) = report.outcome.columns
    let isUsedUp = status == .pending && report.attempt >= notices[index].record.mostAttempts
    notices[index].record.status = isUsedUp ? .dead : status
    notices[index].record.lastError = error ?? notices[index].record.lastError
    notices[index].record.updatedAt = now
    notices[index].nextAt = now + pause
    notices[index].isHeld = false
  }

  func list(_ query: NoticeQuery) -> NoticeList {
    let matching = notices.filter { query.matches($0.record) }.sorted { $0.record.number > $1.record.number }
    let page = matching.prefix(query.limit).map(told)
    return NoticeList(notices: page, next: matching.count > page.count ? page.last?.number : nil)
  }

  func notice(_ id: NoticeID) -> NoticeRecord? {
    notices.first { $0.record.id == id }.map(told)
  }

  mutating func resend(_ id: NoticeID, actor: String, now: Timestamp) -> NoticeRecord? {
    guard let index = notices.firstIndex(where: { $0.record.id == id }) else { return nil }
    let notice = notices[index]
    guard !(notice.record.status == .pending && notice.isHeld && notice.nextAt > now) else { return told(notice) }
    notices[index].record.status = .pending
    notices[index].record.mostAttempts = notice.record.attempts + NoticePatience.attempts
    notices[index].record.updatedAt = now
    notices[index].pendingSince = now
    notices[index].nextAt = now
    notices[index].isHeld = false
    write(AuditNote(.resendNotice, of: id.description, by: actor), now: now)
    return told(notices[index])
  }

  mutating func abandonNotices(limit: Int, now: Timestamp) -> Int {
    let old = notices.indices.filter { index in
      let notice = notices[index]
      return notice.record.status == .pending && now - notice.pendingSince >= NoticePatience.longest
        && !(notice.isHeld && notice.nextAt > now)
    }.prefix(limit)
    for index in old {
      notices[index].record.status = .dead
      notices[index].record.updatedAt = now
      notices[index].record.lastError = notices[index].record.lastError ?? NoticePatience.nobody
    }
    return old.count
  }

  func waitingNotices() -> WaitingNotices {
    let waiting = notices.filter { $0.record.status == .pending }
    return WaitingNotices(
      count: min(waiting.count, NoticePatience.mostCounted), oldest: waiting.map(\.record.createdAt).min())
  }

  /// Somebody is still to be told of it.
  func isToBeTold(_ id: TaskID) -> Bool {
    notices.contains { $0.record.id.task == id && $0.record.status == .pending }
  }

  private func told(_ notice: MemoryNotice) -> NoticeRecord {
    var record = notice.record
    record.nextAttemptAt = record.status == .pending ? notice.nextAt : nil
    return record
  }
}
