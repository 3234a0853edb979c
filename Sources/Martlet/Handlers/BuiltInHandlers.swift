// The handlers that every Martlet server brings along. The composition root registers them and shuts them down last.

package import MartletCore
package import MartletEngine
internal import MartletEvents

package struct BuiltInHandlers: Sendable {
  package let all: [any TaskHandler]
  private let http: OutgoingHTTP
  private let targets: Live<PrivateTargets>
  private let mailer: Live<Mailer?>

  package init(
    settings: Settings, clock: any EngineClock = SystemClock(), random: RandomSource = .system,
    spans: SpanSource? = nil
  ) {
    targets = Live(PrivateTargets(areAllowed: settings.privateTargetsAreAllowed))
    mailer = Live(Self.mailer(settings))
    http = OutgoingHTTP(targets: targets, clock: clock, spans: spans)
    all = [
      SendEmail(mailer), DelayedMessage(), FailSometimes(random: random),
      WebhookCall(http: http, clock: clock),
    ]
  }

  /// From the next attempt on.
  package func take(over settings: Settings) {
    targets.replace(with: PrivateTargets(areAllowed: settings.privateTargetsAreAllowed))
    mailer.replace(with: Self.mailer(settings))
  }

  /// Nil where no mail server is configured. That it can be used was checked with the settings.
  private static func mailer(_ settings: Settings) -> Mailer? {
    settings.notifications.mail.flatMap { mail in
      do throws(MailProblem) { return try Mailer(mail) } catch { return nil }
    }
  }

  /// Once, after the last attempt has ended.
  package func shutdown() async {
    await http.shutdown()
  }
}
