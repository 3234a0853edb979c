// Settings that are set for all nodes (`PATCH /settings`): which of them can be, and the layer that they make.

internal import Configuration
internal import MartletCore
internal import MartletEngine

extension Setting {
  /// Why it cannot be set for all nodes, as the rest of a sentence; nil where it can.
  var refusalAsOverride: String? {
    if isSecret {
      return
        "is secret, and overrides stand readable in the database and its backups: set it in each node's environment, file or SSM"
    }
    return Self.refusedAsOverrides.first { key == $0.name || key.hasPrefix($0.name + ".") }?.reason
  }

  private static let refusedAsOverrides: [(name: String, reason: String)] = [
    ("config", "says where a node's own settings come from, and cannot come from the fleet's"),
    ("database", "is needed before the fleet's settings can be read"),
    ("server.host", "is each node's own"), ("server.port", "is each node's own"),
    ("server.roles", "is each node's own"),
    ("server.tls", "names files of each node"),
    ("auth", "decides who may change the fleet's settings: a mistake would shut everybody out"),
    (
      "notifications.smtp",
      "goes together with the password, which whoever can name another server would be sent: set it on each node"
    ),
    ("notifications.email.templates", "names files of each node"),
    // Their credentials are each node's own: whoever named another place would have them sent there.
    (
      "telemetry.otlp",
      "goes together with the headers, which whoever can name another receiver would be sent: set it on each node"
    ),
    (
      "events.kafka.brokers",
      "goes together with the properties, and whoever can name other brokers would be shown the password in them: set it on each node"
    ),
  ]
}

extension RawSetting {
  /// Of a value in JSON: what a file would have there.
  init?(override json: String) {
    guard let value = try? JSONScanner.scan(Array(json.utf8)) else { return nil }
    switch value.kind {
    case .array:
      let elements = value.elements ?? []
      let texts = elements.compactMap(\.plainText)
      guard texts.count == elements.count else { return nil }
      self = .list(texts)
    default:
      guard let text = value.plainText else { return nil }
      self = .text(text)
    }
  }
}

extension JSONSlice {
  /// Of a text, a number, true or false.
  fileprivate var plainText: String? {
    switch kind {
    case .string: string
    case .number, .boolean: String(decoding: bytes, as: UTF8.self)
    default: nil
    }
  }
}

extension ConfigurationLayer {
  /// As `source` says where it is shown.
  static let fleetOrigin = "fleet"

  /// What a newer version may have written is passed over and told of, for both run side by side.
  static func fleet(
    _ overrides: [String: String], problems: inout [SettingsProblem], warnings: inout [String]
  ) -> ConfigurationLayer {
    var entries: [Entry] = []
    for (key, json) in overrides.sorted(by: { $0.key < $1.key }) {
      guard let setting = Setting.byKey[key], setting.refusalAsOverride == nil else {
        warnings.append(
          "the fleet's override of \(Setting.printable(key)) is passed over: this version does not know it")
        continue
      }
      if let raw = RawSetting(override: json) {
        entries.append(Entry(name: key, value: raw, origin: fleetOrigin))
      } else {
        problems.append(
          SettingsProblem(
            key: key, source: fleetOrigin, detail: "must be a text, a number, true, false or a list of them"))
      }
    }
    return ConfigurationLayer(named: "fleet", entries, problems: &problems)
  }
}

extension Settings {
  /// What is wrong with an override by itself, whatever stands above it on this node.
  static func fault(ofOverride key: String, _ json: String) -> String? {
    guard let setting = Setting.byKey[key] else {
      return "is not a known setting" + suggestion(for: key, among: Setting.supported.map(\.key))
    }
    if let refusal = setting.refusalAsOverride { return refusal }
    guard let given = RawSetting(override: json) else {
      return "must be a text, a number, true, false or a list of them"
    }
    guard let raw = setting.normalized(given) else { return "must be one value, not a list" }
    if Secrets.hidden(in: given.text) != given.text {
      return "has a password or another secret in it, which all nodes would show"
    }
    var settings = Settings()
    return (setting.read(raw, &settings) ?? setting.check(settings))?.detail
  }
}
