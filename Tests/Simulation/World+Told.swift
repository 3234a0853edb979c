// Who was told of what, in the end: sinks, receivers of notices, listeners of the stream.

internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Synchronization

/// What receivers of notices have been given.
final class Mailbox: Sendable {
  private let got = Mutex<[NoticeID: Int]>([:])

  func put(_ id: NoticeID) { got.withLock { $0[id, default: 0] += 1 } }
  var all: [NoticeID: Int] { got.withLock(\.self) }
}

/// Brings notices, now and then without hearing that it has.
struct SimulatedPost: NoticeSender {
  let mailbox: Mailbox
  let identity: SimulatedNode.Identity
  let judge: Judge
  let random: RandomSource
  let isReliable: @Sendable () -> Bool

  var channels: Set<NoticeChannel> { [.webhook] }

  func deliver(_ delivery: NoticeDelivery) async -> NoticeVerdict {
    do { try await identity.clock.sleep(for: .milliseconds(1 + random.below(50))) } catch {
      return .failed("cancelled")
    }
    guard !judge.isDead(identity.process) else { return .failed("dead") }
    let luck = isReliable() ? 9 : random.below(10)
    if luck == 0 { return .failed("simulated: not reached", after: .seconds(1)) }
    mailbox.put(delivery.notice.id)
    return luck == 1 ? .failed("simulated: no answer", after: .seconds(1)) : .delivered
  }
}

extension World {
  /// Everything was told, and each task's history in its order.
  func checkLedger() throws {
    let all = ledger.all.events
    var firsts: [TaskID: [OutgoingEvent]] = [:]
    var seen: Set<String> = []
    for event in all where seen.insert(event.id).inserted { firsts[event.task, default: []].append(event) }
    for (id, task) in auditor.all {
      let told = firsts[id] ?? []
      guard told.map(\.sequence) == task.events.map(\.sequence), told.map(\.type) == task.events.map(\.type) else {
        throw Violation("G7", "the sink heard \(told.map(\.sequence)) of \(task.events.count) events", tasks: [id])
      }
      counters.count("history told")
    }
    if seen.count < all.count { counters.count("event delivered twice") }
  }

  /// Each ending of which a receiver wants to hear has reached it. (Tries are not used up in the short time of a world.)
  func checkMailbox() throws {
    let got = mailbox.all
    for (id, task) in auditor.all where !task.record.notify.isEmpty {
      for event in task.events where [.succeeded, .dead, .cancelled].contains(event.type) {
        for place in task.record.notify.indices {
          let notice = NoticeID(task: id, sequence: event.sequence, place: place)
          guard let times = got[notice] else {
            throw Violation("G24", "its receiver never heard that it ended (event \(event.sequence))", tasks: [id])
          }
          counters.count(times > 1 ? "notice delivered twice" : "notice delivered")
        }
      }
    }
  }

  /// Each event once, at a position of its own, those of a task in order.
  func checkStream() async throws {
    var told: [TaskID: [TaskEventType]] = [:]
    var position: Int64 = 0
    while true {
      let page = try await store.streamPage(after: position, limit: 1000)
      guard let last = page.events.last else { break }
      for event in page.events {
        guard event.position == position + 1 else { throw Violation("G7", "the stream has a gap at \(position + 1)") }
        position = event.position
        told[event.task, default: []].append(event.type)
      }
      position = last.position
    }
    for (id, task) in auditor.all {
      guard task.events.map(\.type) == told[id] ?? [] else {
        throw Violation("G7", "the stream told \(told[id]?.count ?? 0) of \(task.events.count) events", tasks: [id])
      }
      counters.count("history in the stream")
    }
  }
}
