// When a running node looks at its configuration again: now and then, and when it gets SIGHUP.

internal import MartletEngine
internal import NIOPosix
internal import Synchronization
internal import UnixSignals

struct SettingsReloader: Sendable {
  let settings: LiveSettings
  let clock: any EngineClock
  private let alarm = Alarm()

  /// Between looks that only SIGHUP asks for.
  private static let long = Duration.seconds(86_400)

  init(_ settings: LiveSettings, clock: any EngineClock) {
    self.settings = settings
    self.clock = clock
  }

  /// Until its task is cancelled.
  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { for await _ in await UnixSignalsSequence(trapping: .sighup) { alarm.ring() } }
      while !Task.isCancelled {
        let seconds = settings.running.config.reloadSeconds
        await alarm.wait(until: clock.now + (seconds > 0 ? .seconds(seconds) : Self.long), on: clock)
        guard !Task.isCancelled else { break }
        await look()
      }
      group.cancelAll()
    }
  }

  /// On a thread that may block.
  private func look() async {
    do { try await NIOThreadPool.singleton.runIfActive { settings.reload() } } catch {}  // the process ends
  }
}
