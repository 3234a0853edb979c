// When a running node looks at its settings again: at its own configuration now and then, and when it gets SIGHUP; at what is set for
// all nodes every second, and when it hears that something was changed.

internal import Logging
internal import MartletCore
internal import MartletEngine
internal import NIOPosix
internal import UnixSignals

struct SettingsReloader: Sendable {
  let settings: LiveSettings
  let store: any SettingsBook
  let clock: any EngineClock
  let logger: Logger
  private let parameters: ParameterStore?
  private let files = Alarm()
  private let fleet = Alarm()

  /// Between looks that only SIGHUP asks for.
  private static let long = Duration.seconds(86_400)
  /// Between looks at the fleet's settings: whoever changes them is promised two seconds.
  private static let fleetRest = Duration.seconds(1)

  /// - Throws: what was right a moment ago, when AWS SSM was asked for the first time.
  init(_ settings: LiveSettings, store: any SettingsBook, clock: any EngineClock, logger: Logger) throws {
    parameters = try settings.parameterStore()
    self.settings = settings
    self.store = store
    self.clock = clock
    self.logger = logger
  }

  /// Settings may have been changed for all nodes.
  func wakeUp() { fleet.ring() }

  /// Until its task is cancelled.
  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { for await _ in await UnixSignalsSequence(trapping: .sighup) { files.ring() } }
      group.addTask { await watchFleet.run() }
      while !Task.isCancelled {
        let seconds = settings.running.config.reloadSeconds
        await files.wait(until: clock.now + (seconds > 0 ? .seconds(seconds) : Self.long), on: clock)
        guard !Task.isCancelled else { break }
        await look()
      }
      group.cancelAll()
    }
  }

  private var watchFleet: PeriodicService {
    PeriodicService("fleet-settings", clock: clock, random: .system, logger: logger, alarm: fleet) {
      () throws(StoreError) in
      if let revision = try await store.settingsRevision(after: settings.knownRevision) {
        await settings.take(revision)
      }
      return Self.fleetRest
    }
  }

  /// On a thread that may block.
  private func look() async {
    let asked: Result<[StoredParameter], AWSFailure>?
    do throws(AWSFailure) {
      if let parameters { asked = .success(try await parameters.parameters()) } else { asked = nil }
    } catch {
      asked = .failure(error)
    }
    guard !Task.isCancelled else { return }
    do {
      try await NIOThreadPool.singleton.runIfActive {
        switch asked {
        case .success(let parameters): settings.reload(with: parameters)
        case .failure(let failure): settings.reload(without: failure)
        case nil: settings.reload()
        }
      }
    } catch {}  // the process ends
  }
}
