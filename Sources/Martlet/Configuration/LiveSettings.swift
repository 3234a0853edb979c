// The settings of a running node: those in force, those that wait for a restart, and what is wrong with the configuration as it
// stands now. What is read again counts as a whole or not at all. `ServerNode` has one; `SettingsReloader` tells it when to look.

internal import Logging
internal import MartletCore
internal import MartletEngine
internal import Synchronization

final class LiveSettings: Sendable {
  private let logger: Logger
  private let inner: Mutex<State>
  /// One at a time reads and takes over.
  private let turn = Mutex(())

  /// What there is to know of the settings at one moment.
  struct Version: Sendable {
    /// In force on this node. Of settings that need a restart it has what they were at its start.
    var running: Settings
    /// The latest that was valid.
    var loaded: LoadedSettings
    /// Settings that were changed and take effect at the next start.
    var waiting: [String] = []
    /// Why the configuration as it stands now is not in force; nil where it is.
    var refusal: SettingsError?
    /// Of the fleet's overrides, the latest that was heard of.
    var latest: SettingsRevision?
    /// The one that is in force; 0 for none.
    var revision = 0
    /// Why a source could not be asked, where its last answer is in force; nil where it could.
    var trouble: String?

    var overrides: [String: String] { latest?.overrides ?? [:] }
  }

  private struct State {
    var version: Version
    var sources: SettingsSources
    /// False until parts of the node are made that go by the settings.
    var hasBegun = false
    var metrics: ConfigMetrics?
    var listeners: [@Sendable (Settings) -> Void] = []
  }

  init(_ loaded: LoadedSettings, from sources: SettingsSources, logger: Logger) {
    self.logger = logger
    inner = Mutex(State(version: Version(running: loaded.settings, loaded: loaded), sources: sources))
  }

  var version: Version { inner.withLock(\.version) }
  var running: Settings { version.running }

  /// Of the latest overrides that were heard of; 0 for none.
  var knownRevision: Int { version.latest?.number ?? 0 }

  /// Takes over what the fleet says before anything is made of the settings. With overrides that do not go with this node's own
  /// configuration it starts without them all, and says so: else nobody could take them back.
  func begin(with latest: SettingsRevision?) {
    if let latest { takeOver(latest) }
    inner.withLock { $0.hasBegun = true }
  }

  /// Unless it has that one or a later one. Blocks as `reload` does.
  func takeOver(_ revision: SettingsRevision) {
    turn.withLock { _ in
      let isNews = inner.withLock { state in
        guard revision.number > state.version.latest?.number ?? 0 else { return false }
        state.version.latest = revision
        return true
      }
      if isNews { look() }
    }
  }

  /// Called with each new version. Before the first `reload`.
  func onChange(_ listener: @escaping @Sendable (Settings) -> Void) {
    inner.withLock { $0.listeners.append(listener) }
  }

  func count(in metrics: ConfigMetrics) {
    inner.withLock { $0.metrics = metrics }
    tellMetrics()
  }

  /// Reads every source again, and takes over what is valid as a whole. Blocks while it reads files: not for the cooperative pool.
  func reload() {
    turn.withLock { _ in look() }
  }

  /// The same with what AWS SSM has now.
  func reload(with parameters: [StoredParameter]) {
    let hadTrouble = inner.withLock { state in
      defer {
        state.sources.parameters = parameters
        state.version.trouble = nil
      }
      return state.version.trouble != nil
    }
    if hadTrouble { logger.info("AWS SSM answers again") }
    reload()
  }

  /// AWS SSM could not be asked: what it said before stays in force. The other sources are read all the same. Told of once.
  func reload(without failure: AWSFailure) {
    let isNew = inner.withLock { state in
      defer { state.version.trouble = failure.description }
      return state.version.trouble == nil
    }
    if isNew {
      inner.withLock(\.metrics)?.met(.failed)
      logger.error("AWS SSM cannot be asked, its last values stay in force: \(failure)")
    }
    reload()
  }

  /// Asks AWS SSM, where this node's settings come from there.
  func parameterStore() throws(AWSFailure) -> ParameterStore? {
    let sources = inner.withLock(\.sources)
    guard sources.parameters != nil else { return nil }
    return try ParameterStore(running.config.ssm, environment: sources.environment)
  }

  /// The configuration of this node with these overrides.
  func load(with overrides: [String: String]) throws(SettingsError) -> LoadedSettings {
    try Settings.load(inner.withLock(\.sources), overrides: overrides)
  }

  private func look() {
    let latest = version.latest
    do throws(SettingsError) {
      try takeOver(try load(with: latest?.overrides ?? [:]), revision: latest?.number ?? 0)
    } catch {
      refuse(error)
    }
    tellMetrics()
  }

  private func takeOver(_ loaded: LoadedSettings, revision: Int) throws(SettingsError) {
    let (old, hasBegun) = inner.withLock { ($0.version, $0.hasBegun) }
    var new = loaded.settings
    let waiting = hasBegun ? Setting.supported.filter { $0.needsRestart && !$0.isSame(old.running, new) } : []
    for setting in waiting { setting.copy(old.running, &new) }
    // The new ones go together; they have to go together with the old ones that stay, too.
    if !waiting.isEmpty { try new.check() }
    let changed = Setting.supported.filter { !$0.isSame(old.running, new) }.map(\.key)
    let listeners = inner.withLock { [new] state in
      state.version.running = new
      state.version.loaded = loaded
      state.version.waiting = waiting.map(\.key)
      state.version.refusal = nil
      state.version.revision = revision
      return state.listeners
    }
    if !changed.isEmpty {
      for listener in listeners { listener(new) }
      inner.withLock(\.metrics)?.met(.applied)
      if hasBegun {
        logger.info("the configuration was changed", metadata: ["settings": "\(changed.joined(separator: ", "))"])
      }
      for caution in loaded.warnings where !old.loaded.warnings.contains(caution) { logger.warning("\(caution)") }
    } else if old.refusal != nil {
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
    let isNew = inner.withLock { state in
      defer { state.version.refusal = error }
      return state.version.refusal != error
    }
    guard isNew else { return }
    inner.withLock(\.metrics)?.met(.refused)
    logger.error(
      "the configuration is refused, the one before it stays in force: \(error.problems.map(\.description).joined(separator: "; "))"
    )
  }

  private func tellMetrics() {
    let (metrics, version) = inner.withLock { ($0.metrics, $0.version) }
    metrics?.set(isGood: version.refusal == nil && version.trouble == nil)
    metrics?.set(revision: version.revision)
  }

  /// For `/health/ready`. Values and places are for the log and for administrators.
  var component: Readiness.Component {
    let version = version
    let (refusal, waiting) = (version.refusal, version.waiting)
    if let refusal {
      let count = refusal.problems.count
      return .init(
        name: "configuration", isHealthy: false,
        detail: "refused for \(count) fault\(count == 1 ? "" : "s"), which the log names; the one before it is in force"
      )
    }
    if version.trouble != nil {
      return .init(
        name: "configuration", isHealthy: false,
        detail: "AWS SSM cannot be asked, as the log says; what it said before is in force")
    }
    return .init(
      name: "configuration", isHealthy: true,
      detail: waiting.isEmpty ? nil : "needs a restart: \(waiting.joined(separator: ", "))")
  }
}
