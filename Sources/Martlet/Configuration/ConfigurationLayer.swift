// One source of settings: what it gives and where exactly each value stands in it. `Settings.load` stacks layers in the order
// of their precedence.

internal import Configuration
internal import MartletCore

struct ConfigurationLayer: Sendable {
  let provider: any ConfigProvider
  /// By key, for messages: `--port`, `MARTLET_SERVER_PORT`, `martlet.yaml:12`.
  let origins: [String: String]
  /// Keys whose values here must not be shown, whatever setting it is.
  private(set) var secrets: Set<String> = []

  /// A value as its source has it.
  struct Entry {
    /// The setting's key, or the name that was given where no setting is called so.
    var name: String
    var value: RawSetting
    var origin: String
    /// Its source keeps it secret.
    var isSecret = false
  }

  /// Keeps what belongs to a supported setting and complains about all else: unknown names, settings of later versions, lists
  /// where one value belongs, and a setting given twice with different values.
  init(named name: String, _ entries: [Entry], problems: inout [SettingsProblem]) {
    var values: [AbsoluteConfigKey: ConfigValue] = [:]
    var raw: [String: RawSetting] = [:]
    var origins: [String: String] = [:]
    for entry in entries {
      guard let setting = Setting.byKey[entry.name] else {
        let hint = suggestion(for: entry.name, among: Setting.supported.map(\.key))
        problems.append(
          SettingsProblem(key: entry.name, source: entry.origin, detail: "is not a known setting" + hint))
        continue
      }
      guard let value = setting.normalized(entry.value) else {
        problems.append(
          SettingsProblem(key: setting.key, source: entry.origin, detail: "must be one value, not a list"))
        continue
      }
      if let other = raw[setting.key] {
        if other != value {
          problems.append(
            SettingsProblem(
              key: setting.key, value: entry.isSecret ? Secrets.hidden : setting.shown(value), source: entry.origin,
              detail:
                "differs from \(entry.isSecret ? Secrets.hidden : setting.shown(other)) in \(origins[setting.key] ?? name); give one of them"
            ))
        }
        continue
      }
      if entry.isSecret { secrets.insert(setting.key) }
      raw[setting.key] = value
      origins[setting.key] = entry.origin
      values[AbsoluteConfigKey(ConfigKey(setting.key))] = ConfigValue(
        value.content, isSecret: setting.isSecret || entry.isSecret)
    }
    provider = InMemoryProvider(name: name, values: values)
    self.origins = origins
  }

  static func commandLine(_ flags: [String: String], problems: inout [SettingsProblem]) -> ConfigurationLayer {
    let entries = flags.sorted { $0.key < $1.key }.map { key, value in
      Entry(name: key, value: .text(value), origin: Setting.byKey[key]?.flag ?? "--\(key)")
    }
    return ConfigurationLayer(named: "command line", entries, problems: &problems)
  }

  /// Variables that are set to nothing count as not set.
  static func environment(_ variables: [String: String], problems: inout [SettingsProblem]) -> ConfigurationLayer {
    var entries: [Entry] = []
    for (name, value) in variables.sorted(by: { $0.key < $1.key }) where !value.allSatisfy(\.isWhitespace) {
      if let setting = Setting.byEnvironmentName[name] ?? Setting.byAlias[name] {
        entries.append(Entry(name: setting.key, value: .text(value), origin: name))
      } else if name.hasPrefix("MARTLET_"), !otherVariables.contains(name) {
        var hint = suggestion(for: name, among: Setting.supported.map(\.environmentName))
        if value.hasPrefix("tcp://") || name.hasPrefix("MARTLET_SERVICE_") || name.hasPrefix("MARTLET_PORT") {
          hint += "; if Kubernetes made it for a Service, set enableServiceLinks: false"
        }
        problems.append(SettingsProblem(source: name, detail: "is not a known setting" + hint))
      }
    }
    return ConfigurationLayer(named: "environment", entries, problems: &problems)
  }

  /// Read by the client commands, or given by `martlet work` to the programs it starts.
  private static let otherVariables: Set = [
    "MARTLET_SERVER", "MARTLET_API_KEY", "MARTLET_TOKEN", "MARTLET_TASK_ID", "MARTLET_TYPE", "MARTLET_ATTEMPT",
    "MARTLET_MAX_ATTEMPTS", "MARTLET_QUEUE", "MARTLET_TRACEPARENT",
  ]
}

extension Setting {
  /// Trimmed; a text with commas is a list where one is wanted. Nil for a list where none belongs.
  func normalized(_ raw: RawSetting) -> RawSetting? {
    switch raw {
    case .text(let text) where isList:
      .list(text.split(separator: ",").map { $0.trimmed }.filter { !$0.isEmpty })
    case .text(let text): .text(text.trimmed)
    case .list(let items): isList ? .list(items.map(\.trimmed)) : nil
    }
  }
}

extension RawSetting {
  fileprivate var content: ConfigContent {
    switch self {
    case .text(let text): .string(text)
    case .list(let items): .stringArray(items)
    }
  }
}

/// `; did you mean …?` for the nearest name, or for one that ends like it (`port` for `server.port`), or for the nearest section;
/// empty if there is none.
func suggestion(for name: String, among names: [String]) -> String {
  let ending =
    name.hasPrefix("MARTLET_") ? name.dropFirst("MARTLET".count) : "." + name.split(separator: ".").suffix(1).joined()
  let similar = names.first { $0.lowercased().hasSuffix(ending.lowercased()) }
  let sections = Set(names.compactMap { name in name.lastIndex(of: ".").map { String(name[..<$0]) } }).sorted()
  return (nearestName(to: name, among: names) ?? similar ?? nearestName(to: name, among: sections)).map {
    "; did you mean \($0)?"
  } ?? ""
}

extension StringProtocol {
  fileprivate var trimmed: String {
    let start = drop { $0.isWhitespace }
    guard let last = start.lastIndex(where: { !$0.isWhitespace }) else { return "" }
    return String(start[...last])
  }
}
