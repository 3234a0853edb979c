// A batch of messages through the connection: all of them sent, then all answers waited for, but never for ever. For `RabbitSink`.

internal import MartletCore

extension RabbitConnection {
  /// Publishes all in order and waits for the answers, within `limits.answer`. Ends soon when it is cancelled.
  nonisolated func publish(_ messages: [RabbitMessage]) async -> RabbitReply {
    let call = RabbitCall<RabbitReply>()
    let (count, place) = (messages.count, settings.place)
    let giveUp: @Sendable (String) -> Void = { reason in
      call.answer(RabbitReply(answers: Array(repeating: .unanswered, count: count), reason: "\(place) \(reason)"))
    }
    let deadline = ContinuousClock.now + limits.answer
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        call.begin(continuation)
        thread.enqueue { [self] in
          assumeIsolated { connection in call.answer(connection.publish(messages, until: deadline, for: call)) }
        }
        rabbitLater(limits.answer + .seconds(1)) { giveUp(silence) }
      }
    } onCancel: {
      call.cancel()
      fuse.shorten(to: .milliseconds(200))
      rabbitLater(.milliseconds(500)) { giveUp(cancellation) }
    }
  }

  private func publish(
    _ messages: [RabbitMessage], until deadline: ContinuousClock.Instant, for call: RabbitCall<RabbitReply>
  ) -> RabbitReply {
    var batch = Batch(confirms: RabbitConfirms(messages), deadline: deadline, call: call)
    // It may have waited for this thread until nobody wants it any more.
    guard !call.isOver, ContinuousClock.now < deadline else {
      return RabbitReply(answers: batch.confirms.answers, reason: "\(settings.place) \(silence)")
    }
    var reason = ""
    do throws(RabbitFailure) {
      let link = try opened()
      fuse.light(link.descriptor, for: ContinuousClock.now.duration(to: deadline))
      reason = try exchange(link, messages, &batch)?.description ?? ""
      fuse.putOut()
      showState()
      // Its queue is gone: a new connection makes a new one.
      if batch.confirms.hasReturns { hangUp() }
    } catch {
      reason = error.description
      if link != nil { lost(error) }
    }
    return RabbitReply(answers: batch.confirms.answers, reason: reason)
  }

  private struct Batch {
    var confirms: RabbitConfirms
    let deadline: ContinuousClock.Instant
    let call: RabbitCall<RabbitReply>
  }

  /// - Returns: why it ends before all are answered, where the connection is none the worse for it.
  private func exchange(_ link: RabbitLink, _ messages: [RabbitMessage], _ batch: inout Batch)
    throws(RabbitFailure) -> RabbitFailure?
  {
    for (index, message) in messages.enumerated() {
      if index % 16 == 0 { try listen(link, until: .now, &batch.confirms) }
      while link.blocked != nil || batch.call.isOver || isFull(batch.confirms, message) {
        if let end = try wait(link, &batch) { return end }
      }
      batch.confirms.published(tag: try link.publish(message))
    }
    while !batch.confirms.isComplete {
      if let end = try wait(link, &batch) { return end }
    }
    return nil
  }

  private func isFull(_ confirms: RabbitConfirms, _ message: RabbitMessage) -> Bool {
    confirms.bytesUnderWay > 0 && confirms.bytesUnderWay + message.size > limits.window
  }

  /// Waits for a word, a moment at most.
  private func wait(_ link: RabbitLink, _ batch: inout Batch) throws(RabbitFailure) -> RabbitFailure? {
    let now = ContinuousClock.now
    if batch.call.isOver { return link.failure(cancellation) }
    guard now < batch.deadline else {
      // Who says that he takes nothing will say when he does. Who says nothing is not to be waited for again.
      guard let blocked = link.blocked else { throw link.failure(silence) }
      return link.isBlocked(blocked)
    }
    try listen(link, until: min(batch.deadline, now + RabbitLimits.moment), &batch.confirms)
    if (link.blocked == nil) != health.isUp { showState() }
    return nil
  }
}

/// One answer a message, and why some have none.
struct RabbitReply: Sendable {
  var answers: [RabbitConfirms.Answer]
  var reason: String
}

private let silence = "has not confirmed in time"
private let cancellation = "has not confirmed before the delivery was cancelled"
