// The handlers that every Martlet server brings along. The composition root registers them and shuts them down last.

package import MartletCore
package import MartletEngine

package struct BuiltInHandlers: Sendable {
  package let all: [any TaskHandler]
  private let http: OutgoingHTTP

  package init(
    settings: Settings, clock: any EngineClock = SystemClock(), random: RandomSource = .system
  ) {
    http = OutgoingHTTP(targets: PrivateTargets(areAllowed: settings.privateTargetsAreAllowed), clock: clock)
    all = [
      SendEmail(), DelayedMessage(), FailSometimes(random: random), WebhookCall(http: http, clock: clock),
    ]
  }

  /// Once, after the last attempt has ended.
  package func shutdown() async {
    await http.shutdown()
  }
}
