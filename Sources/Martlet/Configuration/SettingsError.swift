// All that is wrong with a configuration, at once. The command line prints the problems, one line each, and exits 2.

/// Thrown by `Settings.load` and `Settings.check`; never empty.
public struct SettingsError: Error, Sendable, Hashable, CustomStringConvertible {
  /// In the order of the settings' table; those about a source as a whole come first.
  public let problems: [SettingsProblem]

  public var description: String {
    problems.map(\.description).joined(separator: "\n")
  }
}

/// One thing wrong with a configuration.
public struct SettingsProblem: Sendable, Hashable, CustomStringConvertible {
  /// The setting, where it is one.
  public var key: String?
  /// What was given, with secrets redacted and cut to a readable length; nil where it says nothing.
  public var value: String?
  /// Where it was given: `--port`, `MARTLET_SERVER_PORT`, `martlet.yaml:12`, `default`.
  public var source: String
  /// What is wrong, as the rest of a sentence: `must be …`.
  public var detail: String
  /// A stable name of the kind of problem; only `auth` so far.
  public var code: String?

  /// One line, without a line end.
  public var description: String {
    var line = [key, value.map { "= \($0)" }].compactMap(\.self).joined(separator: " ")
    line += line.isEmpty ? source : " (\(source))"
    // Names come from files and environments as they are, and may hold line ends.
    return Setting.onOneLine(line + ": " + detail)
  }

  init(key: String? = nil, value: String? = nil, source: String, detail: String, code: String? = nil) {
    self.key = key
    self.value = value
    self.source = source
    self.detail = detail
    self.code = code
  }
}
