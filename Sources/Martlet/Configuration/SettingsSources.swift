// Where a process gets its settings from, kept so that they can be read again.

package struct SettingsSources: Sendable {
  /// What was given on the command line, by key: `["server.port": "9000"]`.
  package var flags: [String: String]
  /// The whole environment of the process.
  package var environment: [String: String]
  /// Where a relative path of a configuration file starts.
  package var workingDirectory: String
  /// Made by hand: then flags, environment and file are not read, and what differs from the defaults counts as given.
  package var program: Settings?

  package init(
    flags: [String: String] = [:], environment: [String: String] = [:], workingDirectory: String = "/",
    program: Settings? = nil
  ) {
    self.flags = flags
    self.environment = environment
    self.workingDirectory = workingDirectory
    self.program = program
  }
}
