// The way of mails out of the house. The notifier and SEND_EMAIL send through it. libcurl's calls block, so they run on a few
// threads that exist while there is something to send.

internal import Foundation
internal import Synchronization

/// What became of a mail. The lines are for the person on call: what was tried, where, and what came of it. Never the password.
package enum MailOutcome: Sendable, Hashable {
  /// The server has taken it for all recipients.
  case sent
  /// Nobody has it, as far as is known, and another try may help.
  case temporary(String)
  /// No try will help: the server will not have the mail, the sender or a recipient. Those recipients that it did accept have it.
  case permanent(String)
}

package final class SMTPClient: Sendable {
  private struct Lanes {
    /// In the order in which they came.
    var waiting: [Delivery] = []
    /// Threads at work.
    var busy = 0
  }

  private let settings: SMTPSettings
  private let refusal: @Sendable (String) -> String?
  private let lanes = Mutex(Lanes())
  private static let mostLanes = 4

  /// - Parameters:
  ///   - settings: without problems.
  ///   - refusal: why a numeric address must not be connected to; nil lets it pass. It judges the very address of the connection, so
  ///     that a name that changes its mind gains nothing.
  package init(_ settings: SMTPSettings, refusal: @escaping @Sendable (String) -> String? = { _ in nil }) {
    self.settings = settings
    self.refusal = refusal
  }

  /// Sends it in one conversation, or in a second one without those recipients that the server refused for good. Answers within the
  /// settings' timeout and about a second, and at once when it is cancelled; a mail that is cancelled, or that times out while the
  /// server thinks, may have been taken all the same.
  package func send(_ message: MailMessage) async -> MailOutcome {
    let delivery = Delivery(message, until: .now + settings.timeout)
    return await withTaskCancellationHandler {
      await withCheckedContinuation { caller in
        if delivery.wait(caller) { enqueue(delivery) }
      }
    } onCancel: {
      delivery.end(.temporary("\(settings.url): the sending was cancelled"))
    }
  }

  // MARK: - Threads

  private func enqueue(_ delivery: Delivery) {
    let mustStart = lanes.withLock { lanes in
      lanes.waiting.append(delivery)
      guard lanes.busy < Self.mostLanes else { return false }
      lanes.busy += 1
      return true
    }
    guard mustStart else { return }
    let thread = Thread { [self] in
      while let delivery = next() { deliver(delivery) }
    }
    thread.name = "martlet-smtp"
    thread.stackSize = 1 << 20
    thread.start()
  }

  private func next() -> Delivery? {
    lanes.withLock { lanes in
      if lanes.waiting.isEmpty {
        lanes.busy -= 1
        return nil
      }
      return lanes.waiting.removeFirst()
    }
  }

  // MARK: - One mail

  /// No mail goes out while one of its recipients may still be refused: otherwise those who have it would get it again with the
  /// next try.
  private func deliver(_ delivery: Delivery) {
    let message = delivery.message.wire
    var recipients = delivery.message.to.map(\.address)
    var refused: [String] = []
    while !delivery.isOver {
      let transfer = SMTPTransfer(
        settings: settings, sender: delivery.message.from.address, recipients: recipients, message: message,
        timeLeft: ContinuousClock.now.duration(to: delivery.deadline), refusal: refusal)
      let ending = transfer.run(isUnwanted: { delivery.isOver }) {
        delivery.end(Self.accepted(refused))
      }
      switch ending {
      case .accepted: delivery.end(Self.accepted(refused))
      case .temporary(let line): delivery.end(.temporary(line))
      case .permanent(let line): delivery.end(.permanent(line))
      case .refusedRecipient(let index, let line):
        refused.append(line)
        recipients.remove(at: index)
        if recipients.isEmpty { delivery.end(.permanent(refused.joined(separator: "; "))) }
      }
    }
  }

  private static func accepted(_ refused: [String]) -> MailOutcome {
    refused.isEmpty ? .sent : .permanent(refused.joined(separator: "; ") + "; the other recipients have the mail")
  }
}

/// A mail on its way, and who waits for what becomes of it.
private final class Delivery: Sendable {
  private enum State {
    case new
    case awaited(CheckedContinuation<MailOutcome, Never>)
    case over(MailOutcome)
  }

  let message: MailMessage
  let deadline: ContinuousClock.Instant
  private let state = Mutex(State.new)

  init(_ message: MailMessage, until deadline: ContinuousClock.Instant) {
    self.message = message
    self.deadline = deadline
  }

  var isOver: Bool {
    state.withLock { if case .over = $0 { true } else { false } }
  }

  /// False, and answered, where it was cancelled before it began.
  func wait(_ caller: CheckedContinuation<MailOutcome, Never>) -> Bool {
    let outcome: MailOutcome? = state.withLock { state in
      if case .over(let outcome) = state { return outcome }
      state = .awaited(caller)
      return nil
    }
    if let outcome { caller.resume(returning: outcome) }
    return outcome == nil
  }

  /// The first word counts.
  func end(_ outcome: MailOutcome) {
    let caller: CheckedContinuation<MailOutcome, Never>? = state.withLock { state in
      switch state {
      case .over: return nil
      case .new:
        state = .over(outcome)
        return nil
      case .awaited(let caller):
        state = .over(outcome)
        return caller
      }
    }
    caller?.resume(returning: outcome)
  }
}
