// How notices leave the house: webhooks as `WEBHOOK_CALL` calls (vetted address, bounded time, no redirect to anybody else), signed by
// Standard Webhooks, and mails by the configured mail server. The notifier hands them over one by one.

internal import Foundation
package import Logging
package import MartletCore
package import MartletEngine
internal import MartletEvents

package struct NoticePost: NoticeSender {
  private let http: OutgoingHTTP
  private let targets: Live<PrivateTargets>
  private let means: Live<Means>
  private let clock: any EngineClock
  private let spans: SpanSource?
  private let logger: Logger

  /// What one delivery goes by, from its beginning to its end.
  private struct Means: Sendable {
    var secrets: [WebhookSecret]
    var mail: Mail?
  }

  private struct Mail: Sendable {
    var client: SMTPClient
    var from: MailAddress
    var templates: MailTemplates
  }

  /// Of one webhook, in all (Standard Webhooks asks for 15 to 30 s at most, and our promise is 10).
  private static let patience = Duration.seconds(10)

  /// - Throws: what is wrong with the settings, which were checked before.
  package init(
    settings: Settings, clock: any EngineClock = SystemClock(), spans: SpanSource? = nil, logger: Logger
  ) throws {
    try self.init(
      settings: settings, targets: Self.targets(settings), clock: clock, spans: spans, logger: logger)
  }

  init(
    settings: Settings, targets: PrivateTargets, clock: any EngineClock, spans: SpanSource? = nil, logger: Logger
  ) throws {
    self.spans = spans
    self.logger = logger
    self.targets = Live(targets)
    http = OutgoingHTTP(targets: self.targets, clock: clock, spans: spans)
    self.clock = clock
    means = Live(
      Means(
        secrets: try Self.secrets(settings),
        mail: try Self.mail(settings) { try settings.notifications.email.mailTemplates() }))
  }

  private static func targets(_ settings: Settings) -> PrivateTargets {
    PrivateTargets(
      areAllowed: settings.privateTargetsAreAllowed, resolve: SystemResolver.ofNotices.addresses(of:))
  }

  private static func secrets(_ settings: Settings) throws -> [WebhookSecret] {
    try settings.notifications.webhook.secret.map { (text) throws(WebhookProblem) in try WebhookSecret(text) }
  }

  private static func mail(_ settings: Settings, templates: () throws -> MailTemplates) throws -> Mail? {
    guard let smtp = settings.notifications.mail else { return nil }
    return Mail(client: SMTPClient(smtp), from: try MailAddress(smtp.from), templates: try templates())
  }

  /// From the next delivery on; settings that were checked. What cannot be read any more, since a file was changed or taken away
  /// just now, stays as it was, and keeps nothing else from counting: a secret that is out of use must sign nothing more.
  package func take(over settings: Settings) {
    targets.replace(with: Self.targets(settings))
    let former = means.current
    var means = former
    do { means.secrets = try Self.secrets(settings) } catch { tell("notifications.webhook.secret", error) }
    do {
      means.mail = try Self.mail(settings) { try templates(settings, or: former.mail?.templates) }
    } catch {
      tell("notifications.smtp", error)
    }
    self.means.replace(with: means)
  }

  /// Those that mails had before, or the built-in ones, where the settings' own cannot be read.
  private func templates(_ settings: Settings, or former: MailTemplates?) throws -> MailTemplates {
    do {
      return try settings.notifications.email.mailTemplates()
    } catch {
      tell("notifications.email.templates", error)
      return try former ?? MailTemplates()
    }
  }

  private func tell(_ setting: String, _ error: any Error) {
    logger.error("\(setting) cannot be used as it is now, and stays as it was: \(error)")
  }

  /// Mails only where there is a mail server.
  package var channels: Set<NoticeChannel> { means.current.mail == nil ? [.webhook] : [.webhook, .email] }

  /// What is wrong with a receiver that a task names, as the rest of a sentence.
  package static func problem(with target: NoticeTarget) -> String? {
    switch target.address {
    case .webhook(let url):
      return TargetURL(url) == nil ? "must be an http or https URL with a host, without user and password" : nil
    case .email(let address):
      do throws(MailProblem) {
        _ = try MailAddress(address)
        return nil
      } catch {
        return error.reason
      }
    }
  }

  package func deliver(_ delivery: NoticeDelivery) async -> NoticeVerdict {
    guard let notice = Notice(delivery.task, logs: delivery.logs) else {
      return .refused("the task has not ended")
    }
    let means = means.current
    return switch delivery.notice.channel {
    case .webhook: await post(notice, delivery, means)
    case .email: await send(notice, delivery, means)
    }
  }

  /// Once, after the last delivery has ended.
  package func shutdown() async {
    await http.shutdown()
  }

  // MARK: Webhooks

  private func post(_ notice: Notice, _ delivery: NoticeDelivery, _ means: Means) async -> NoticeVerdict {
    guard let url = TargetURL(delivery.notice.target) else { return .refused("the receiver is no URL") }
    let begin = clock.now
    let body = notice.webhookBody
    let headers = WebhookSignature.headers(
      id: delivery.notice.id.description, time: delivery.now, body: body, secrets: means.secrets)
    let traceparent = delivery.task.traceparent
    let request = OutgoingRequest(
      method: "POST", url: url,
      headers: [("Content-Type", "application/json"), ("User-Agent", "Martlet")] + headers
        + (traceparent.map { [("traceparent", $0)] } ?? []), body: body,
      timeout: Self.patience)
    do {
      let answer = try await http.send(request, in: spans?.context(traceparent))
      if (200..<300).contains(answer.status) { return .delivered }
      let line = "answered \(answer.status)" + (answer.refusedRedirect.map { "; \($0)" } ?? "")
      // Gone (RFC 9110 §15.5.11): Standard Webhooks has receivers say so that they want no more.
      if answer.status == 410 { return .refused(line) }
      return .failed(line, after: RetryAfter.delay(asked: answer.headers, now: delivery.now + (clock.now - begin)))
    } catch let failure as TaskFailure {
      return failure.isRetryable ? .failed(failure.error.message) : .refused(failure.error.message)
    } catch {
      return .failed("the delivery was cut short: the node is being stopped")
    }
  }

  // MARK: Mails

  private func send(_ notice: Notice, _ delivery: NoticeDelivery, _ means: Means) async -> NoticeVerdict {
    guard let mail = means.mail else { return .failed("no mail server is configured: notifications.smtp.host") }
    let message: MailMessage
    do throws(MailProblem) {
      message = try notice.mail(
        from: mail.from, to: [try MailAddress(delivery.notice.target)], messageID: "<\(delivery.notice.id)@martlet>",
        date: delivery.now, templates: mail.templates)
    } catch {
      return .refused(error.reason)
    }
    return switch await mail.client.send(message) {
    case .sent: .delivered
    case .temporary(let line): .failed(line)
    case .permanent(let line): .refused(line)
    }
  }
}
