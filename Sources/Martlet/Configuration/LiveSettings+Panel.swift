// A node's settings as `/settings` shows and judges them.

internal import MartletCore
internal import MartletEngine
internal import NIOPosix

extension LiveSettings: SettingsPanel {
  var state: SettingsState {
    let version = version
    let next = version.loaded.settings
    return SettingsState(
      revision: version.revision,
      settings: Setting.supported.map { setting in
        let isWaiting = version.waiting.contains(setting.key)
        return SettingsState.Row(
          key: setting.key, value: version.loaded.json(of: setting, in: version.running),
          override: version.overrides[setting.key].map { Array($0.utf8) },
          next: isWaiting ? version.loaded.json(of: setting, in: next) : nil,
          source: version.loaded.source(of: setting.key), needsRestart: setting.needsRestart,
          isOverridable: setting.refusalAsOverride == nil)
      },
      waiting: version.waiting,
      problems: (version.refusal?.problems.map(\.description) ?? []) + [version.trouble].compactMap(\.self))
  }

  func problems(with overrides: [String: String], changed: Set<String>) async -> [SettingFault] {
    let own = changed.sorted().compactMap { key in
      overrides[key].flatMap { Settings.fault(ofOverride: key, $0) }.map { SettingFault(key: key, detail: $0) }
    }
    guard own.isEmpty else { return own }
    do {
      return try await NIOThreadPool.singleton.runIfActive {
        let old = Set(self.faults(with: self.version.overrides))
        return self.faults(with: overrides).filter { !old.contains($0) }.map { problem in
          SettingFault(key: problem.key, detail: problem.detail)
        }
      }
    } catch {
      return [SettingFault(key: nil, detail: "cannot be judged: the node is being stopped")]
    }
  }

  func take(_ revision: SettingsRevision) async {
    do { try await NIOThreadPool.singleton.runIfActive { self.takeOver(revision) } } catch {}  // the process ends
  }

  /// Of the whole configuration if these were the overrides.
  private func faults(with overrides: [String: String]) -> [SettingsProblem] {
    do throws(SettingsError) {
      _ = try load(with: overrides)
      return []
    } catch {
      return error.problems
    }
  }
}

extension LoadedSettings {
  /// A value as it may be shown, as JSON.
  fileprivate func json(of setting: Setting, in settings: Settings) -> [UInt8] {
    var json = JSONWriter(capacity: 64)
    let value = ownValue(of: setting.key).map { $0.isEmpty ? SettingValue.none : .text($0) } ?? setting.value(settings)
    if isHidden(setting) {
      let isSet = value != .none && value != .list([])
      if isSet { json.string(Secrets.hidden) } else { json.null() }
      return json.bytes
    }
    switch value {
    case .none: json.null()
    case .text(let text): json.string(Setting.printable(text))
    case .whole(let number): json.int(number)
    case .number(let number): json.double(number)
    case .yesOrNo(let flag): json.bool(flag)
    case .list(let list): json.array(of: list) { $0.string(Setting.printable($1)) }
    }
    return json.bytes
  }
}
