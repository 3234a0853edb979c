// The configuration: a file in YAML, or, after a first line that says so, an environment (`#environment`, lines of `NAME=value`) or
// overrides of the fleet (`#overrides`, lines of `key=JSON`).

#if DEBUG || MARTLET_FUZZ
  import Foundation

  @testable import Martlet

  enum SettingsTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      var sources = SettingsSources(workingDirectory: "/nonexistent")
      var overrides: [String: String] = [:]
      let lines = bytes.lines(atMost: 1000)
      switch lines.first {
      case "#environment": sources.environment = pairs(lines)
      case "#overrides":
        overrides = pairs(lines)
        for (key, json) in overrides {
          if let fault = Settings.fault(ofOverride: key, json) { try isLine(fault) }
        }
      default:
        guard let path = file(bytes) else { throw Finding("no file for the configuration") }
        sources.flags = [Setting.fileKey: path]
      }
      let loaded: LoadedSettings
      do throws(SettingsError) {
        loaded = try Settings.load(sources, overrides: overrides)
      } catch {
        try require(!error.problems.isEmpty, "it is refused without a problem")
        for problem in error.problems { try isLine(problem.description) }
        return
      }
      do throws(SettingsError) { try loaded.settings.check() } catch {
        throw Finding("settings are loaded that are not valid: \(error.problems)")
      }
      for row in loaded.describe() {
        try isLine(row.value)
        try require(
          !(Setting.byKey[row.key]?.isSecret ?? false) || row.value.isEmpty || row.value == Secrets.hidden,
          "\(row.key) is shown")
      }
      for warning in loaded.warnings { try isLine(warning) }
    }

    /// For people: on one line, and with an end.
    private static func isLine(_ text: String) throws(Finding) {
      try require(
        text.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control } && text.utf8.count < 8192,
        "a message is more than a line: \(text.debugDescription)")
    }

    private static func pairs(_ lines: [String]) -> [String: String] {
      var pairs: [String: String] = [:]
      for line in lines.dropFirst() {
        guard let equals = line.firstIndex(of: "=") else { continue }
        pairs[String(line[..<equals])] = String(line[line.index(after: equals)...])
      }
      return pairs
    }

    /// The one file of this process.
    private static func file(_ bytes: [UInt8]) -> String? {
      guard let file = fopen(path, "we") else { return nil }
      defer { fclose(file) }
      return fwrite(bytes, 1, bytes.count, file) == bytes.count ? path : nil
    }

    private static let path = NSTemporaryDirectory() + "/martlet-fuzz-\(getpid()).yaml"
  }
#endif
