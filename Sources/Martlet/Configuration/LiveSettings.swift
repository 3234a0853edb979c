// The settings of a running node: those in force, those that wait for a restart, and what is wrong with the configuration as it
// stands now. What is read again counts as a whole or not at all. `ServerNode` has one; `SettingsReloader` tells it when to look.

internal import Logging
internal import MartletEngine
internal import Synchronization

final class LiveSettings: Sendable {
  private let sources: SettingsSources
  private let logger: Logger
  private let state: Mutex<State>
  /// One at a time reads and takes over.
  private let turn = Mutex(())

  private struct State {
    var running: Settings
    var loaded: LoadedSettings
    var waiting: [String] = []
    var refusal: SettingsError?
    var metrics: ConfigMetrics?
    var listeners: [@Sendable (Settings) -> Void] = []
  }

  init(_ loaded: LoadedSettings, from sources: SettingsSources, logger: Logger) {
    self.sources = sources
    self.logger = logger
    state = Mutex(State(running: loaded.settings, loaded: loaded))
  }

  /// In force on this node. Of settings that need a restart it has what they were at its start.
  var running: Settings { state.withLock(\.running) }

  /// Settings that were changed and take effect at the next start.
  var waiting: [String] { state.withLock(\.waiting) }

  /// Why the configuration as it stands now is not in force; nil where it is.
  var refusal: SettingsError? { state.withLock(\.refusal) }

  /// Called with each new version. Before the first `reload`.
  func onChange(_ listener: @escaping @Sendable (Settings) -> Void) {
    state.withLock { $0.listeners.append(listener) }
  }

  func count(in metrics: ConfigMetrics) {
    state.withLock { $0.metrics = metrics }
    tellMetrics()
  }

  /// Reads every source again, and takes over what is valid as a whole. Blocks while it reads files: not for the cooperative pool.
  func reload() {
    turn.withLock { _ in
      do throws(SettingsError) {
        try takeOver(try Settings.load(sources))
      } catch {
        refuse(error)
      }
    }
    tellMetrics()
  }

  private func takeOver(_ loaded: LoadedSettings) throws(SettingsError) {
    let old = state.withLock { (running: $0.running, waiting: $0.waiting, wasRefused: $0.refusal != nil) }
    var new = loaded.settings
    let waiting = Setting.supported.filter { $0.needsRestart && !$0.isSame(old.running, new) }
    for setting in waiting { setting.copy(old.running, &new) }
    // The new ones go together; they have to go together with the old ones that stay, too.
    if !waiting.isEmpty { try new.check() }
    let changed = Setting.supported.filter { !$0.isSame(old.running, new) }.map(\.key)
    let listeners = state.withLock { [new] state in
      state.running = new
      state.loaded = loaded
      state.waiting = waiting.map(\.key)
      state.refusal = nil
      return state.listeners
    }
    if !changed.isEmpty {
      for listener in listeners { listener(new) }
      state.withLock(\.metrics)?.met(.applied)
      logger.info("the configuration was changed", metadata: ["settings": "\(changed.joined(separator: ", "))"])
      for caution in loaded.warnings { logger.warning("\(caution)") }
    } else if old.wasRefused {
      logger.info("the configuration is valid again")
    }
    let waitingKeys = waiting.map(\.key)
    if !waitingKeys.isEmpty, waitingKeys != old.waiting {
      logger.warning(
        "settings were changed that need a restart", metadata: ["settings": "\(waitingKeys.joined(separator: ", "))"])
    }
  }

  /// Told of once, however often the same is found.
  private func refuse(_ error: SettingsError) {
    let isNew = state.withLock { state in
      defer { state.refusal = error }
      return state.refusal != error
    }
    guard isNew else { return }
    state.withLock(\.metrics)?.met(.refused)
    logger.error(
      "the configuration is refused, the one before it stays in force: \(error.problems.map(\.description).joined(separator: "; "))"
    )
  }

  private func tellMetrics() {
    let (metrics, isGood) = state.withLock { ($0.metrics, $0.refusal == nil) }
    metrics?.set(isGood: isGood)
  }

  /// For `/health/ready`. Values and places are for the log and for administrators.
  var component: Readiness.Component {
    let (refusal, waiting) = state.withLock { ($0.refusal, $0.waiting) }
    if let refusal {
      let count = refusal.problems.count
      return .init(
        name: "configuration", isHealthy: false,
        detail: "refused for \(count) fault\(count == 1 ? "" : "s"), which the log names; the one before it is in force")
    }
    return .init(
      name: "configuration", isHealthy: true,
      detail: waiting.isEmpty ? nil : "needs a restart: \(waiting.joined(separator: ", "))")
  }
}
