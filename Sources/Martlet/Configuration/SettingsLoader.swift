// From flags, environment and file to one validated `Settings`, with every problem at once and the source of every value.
// Called by `martlet serve`, `config check` and `config show`.

internal import Configuration

/// Settings, and where each of them comes from.
package struct LoadedSettings: Sendable, Hashable {
  package let settings: Settings
  /// The file that was read, as it was named; nil if none.
  package let file: String?
  /// What was accepted and does nothing, one line each: to be logged at start.
  package let warnings: [String]
  private let origins: [String: String]
  private let otherValues: [String: String]
  /// Keys whose source keeps them secret.
  private let secrets: Set<String>

  package struct Row: Sendable, Hashable {
    package var key: String
    /// Secrets are hidden.
    package var value: String
    /// `--port`, `MARTLET_SERVER_PORT`, `fleet`, `ssm:/prod/martlet/log/level`, `martlet.yaml:12`, `default`.
    package var source: String

    package init(key: String, value: String, source: String) {
      self.key = key
      self.value = value
      self.source = source
    }
  }

  /// One row per setting, in the order of the documentation.
  package func describe() -> [Row] {
    Setting.supported.map { setting in
      let value = otherValues[setting.key] ?? setting.show(settings)
      return Row(
        key: setting.key, value: isHidden(setting) && !value.isEmpty ? Secrets.hidden : Setting.printable(value),
        source: source(of: setting.key))
    }
  }

  /// Its value must not be shown.
  func isHidden(_ setting: Setting) -> Bool { setting.isSecret || secrets.contains(setting.key) }

  /// Of a setting that `Settings` has no field for.
  func ownValue(of key: String) -> String? { otherValues[key] }

  package func source(of key: String) -> String {
    origins[key] ?? "default"
  }

  fileprivate init(
    settings: Settings, file: String?, warnings: [String], origins: [String: String], otherValues: [String: String],
    secrets: Set<String>
  ) {
    self.secrets = secrets
    self.settings = settings
    self.file = file
    self.warnings = warnings
    self.origins = origins
    self.otherValues = otherValues
  }
}

extension Settings {
  /// - Parameters:
  ///   - flags: what was given on the command line, by key: `["server.port": "9000"]`.
  ///   - environment: the whole environment of the process.
  ///   - workingDirectory: where a relative path of a configuration file starts.
  package static func load(
    flags: [String: String], environment: [String: String], workingDirectory: String
  ) throws(SettingsError) -> LoadedSettings {
    try load(SettingsSources(flags: flags, environment: environment, workingDirectory: workingDirectory))
  }

  /// Reads files, and so blocks for a moment.
  /// - Parameter overrides: those of the fleet, as JSON by key.
  package static func load(
    _ sources: SettingsSources, overrides: [String: String] = [:]
  ) throws(SettingsError) -> LoadedSettings {
    var problems: [SettingsProblem] = []
    var passedOver: [String] = []
    // First comes first.
    var layers: [ConfigurationLayer] = []
    var named: (path: String, origin: String)?
    var file: ConfigurationFile?
    if sources.program == nil {
      layers.append(.commandLine(sources.flags, problems: &problems))
      layers.append(.environment(sources.environment, problems: &problems))
      named = configuredFile(layers)
      file = ConfigurationFile(named: named, in: sources.workingDirectory, problems: &problems)
    }
    layers.append(.fleet(overrides, problems: &problems, warnings: &passedOver))
    let fileLayer = file.map { ConfigurationLayer.file($0, problems: &problems) }
    if let parameters = sources.parameters {
      let config = config(in: layers + [fileLayer].compactMap(\.self), of: sources).config
      layers.append(.ssm(parameters, beneath: config.ssm.path ?? "/", problems: &problems))
      if parameters.isEmpty {
        passedOver.append("there is no parameter beneath \(config.ssm.path ?? "/") (config.ssm.path)")
      }
    }
    if let fileLayer { layers.append(fileLayer) }

    let reader = ConfigReader(providers: layers.map(\.provider))
    var settings = sources.program ?? Settings()
    var origins: [String: String] = [:]
    var secrets: Set<String> = []
    var given: [String: RawSetting] = [:]
    var complaints: [String: Complaint] = [:]
    for setting in Setting.supported {
      if let program = sources.program, !setting.isSame(program, Settings()) {
        origins[setting.key] = "program"
        continue
      }
      guard let raw = reader.raw(setting) else { continue }
      let source = layers.first { $0.origins[setting.key] != nil }
      origins[setting.key] = source?.origins[setting.key]
      if source?.secrets.contains(setting.key) == true { secrets.insert(setting.key) }
      given[setting.key] = raw
      complaints[setting.key] = setting.read(raw, &settings)
    }
    if let file, named == nil { origins[Setting.fileKey] = file.name }
    complaints.merge(settings.complaints) { unreadable, _ in unreadable }
    problems += Setting.supported.compactMap { setting in
      complaints[setting.key].map { complaint in
        let value = given[setting.key] ?? .text(setting.show(settings))
        let isSecret = secrets.contains(setting.key)
        return SettingsProblem(
          key: setting.key, value: isSecret ? Secrets.hidden : setting.shown(value),
          source: origins[setting.key] ?? "default",
          detail: isSecret && complaint.detail.contains(value.text) ? "is not allowed" : complaint.detail,
          code: complaint.code)
      }
    }
    guard problems.isEmpty else { throw SettingsError(problems: problems) }

    var otherValues = given.filter { Setting.byKey[$0.key]?.support == .withoutEffect }.mapValues(\.text)
    otherValues[Setting.fileKey] = file?.name ?? ""
    let warnings =
      Setting.supported.filter { $0.support == .withoutEffect && given[$0.key] != nil }.map {
        "\($0.key) (\(origins[$0.key] ?? "default")) has no effect in this version"
      } + passedOver + settings.cautions
    return LoadedSettings(
      settings: settings, file: file?.name, warnings: warnings, origins: origins, otherValues: otherValues,
      secrets: secrets)
  }

  /// Where the settings come from, as flags, environment and file say it; what is wrong with these is told by `load`. With where
  /// `config.ssm.path` stands.
  static func config(of sources: SettingsSources) -> (config: Config, origin: String) {
    guard sources.program == nil else { return config(in: [], of: sources) }
    var ignored: [SettingsProblem] = []
    var layers: [ConfigurationLayer] = [
      .commandLine(sources.flags, problems: &ignored), .environment(sources.environment, problems: &ignored),
    ]
    let file = ConfigurationFile(named: configuredFile(layers), in: sources.workingDirectory, problems: &ignored)
    if let file { layers.append(.file(file, problems: &ignored)) }
    return config(in: layers, of: sources)
  }

  private static func config(
    in layers: [ConfigurationLayer], of sources: SettingsSources
  ) -> (config: Config, origin: String) {
    if let program = sources.program { return (program.config, "program") }
    let reader = ConfigReader(providers: layers.map(\.provider))
    var settings = Settings()
    for setting in Setting.supported where setting.key.hasPrefix("config.") {
      if let raw = reader.raw(setting) { _ = setting.read(raw, &settings) }
    }
    return (settings.config, layers.lazy.compactMap { $0.origins["config.ssm.path"] }.first ?? "default")
  }

  /// The same rules for settings that were made by hand.
  package func check() throws(SettingsError) {
    let complaints = complaints
    let problems = Setting.supported.compactMap { setting in
      complaints[setting.key].map { complaint in
        SettingsProblem(
          key: setting.key, value: setting.shown(.text(setting.show(self))), source: "Settings",
          detail: complaint.detail, code: complaint.code)
      }
    }
    guard problems.isEmpty else { throw SettingsError(problems: problems) }
  }

  private var complaints: [String: Complaint] {
    var complaints: [String: Complaint] = [:]
    for setting in Setting.supported { complaints[setting.key] = setting.check(self) }
    for (key, complaint) in Settings.crossComplaints(self) where complaints[key] == nil { complaints[key] = complaint }
    return complaints
  }

  private static func configuredFile(_ layers: [ConfigurationLayer]) -> (path: String, origin: String)? {
    let reader = ConfigReader(providers: layers.map(\.provider))
    guard let path = reader.string(forKey: ConfigKey(Setting.fileKey)),
      let origin = layers.lazy.compactMap({ $0.origins[Setting.fileKey] }).first
    else { return nil }
    return (path, origin)
  }
}

extension ConfigReader {
  fileprivate func raw(_ setting: Setting) -> RawSetting? {
    let key = ConfigKey(setting.key)
    return setting.isList
      ? stringArray(forKey: key, isSecret: setting.isSecret).map { .list($0) }
      : string(forKey: key, isSecret: setting.isSecret).map { .text($0) }
  }
}
