// Parameters of AWS SSM as settings: `/prod/martlet/workers/concurrency` beneath `/prod/martlet` is `workers.concurrency`.

internal import MartletCore

extension ConfigurationLayer {
  static func ssm(
    _ parameters: [StoredParameter], beneath path: String, problems: inout [SettingsProblem]
  ) -> ConfigurationLayer {
    let root = path.hasSuffix("/") ? path : path + "/"
    var entries: [Entry] = []
    for parameter in parameters {
      let origin = "ssm:" + parameter.name
      let rest = parameter.name.hasPrefix(root) ? String(parameter.name.dropFirst(root.count)) : parameter.name
      let name = rest.replacing("/", with: ".")
      let setting = Setting.byAlias[name] ?? Setting.byKey[name]
      if let setting, setting.key.hasPrefix("config.") {
        problems.append(
          SettingsProblem(
            key: setting.key, source: origin, detail: "says where settings are, and cannot come from there"))
        continue
      }
      entries.append(
        Entry(
          name: setting?.key ?? name, value: .text(parameter.value), origin: origin, isSecret: parameter.isSecret))
    }
    return ConfigurationLayer(named: "ssm", entries, problems: &problems)
  }
}
