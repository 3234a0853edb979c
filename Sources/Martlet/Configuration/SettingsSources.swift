// Where a process gets its settings from, kept so that they can be read again.

internal import NIOPosix

package struct SettingsSources: Sendable {
  /// What was given on the command line, by key: `["server.port": "9000"]`.
  package var flags: [String: String]
  /// The whole environment of the process.
  package var environment: [String: String]
  /// Where a relative path of a configuration file starts.
  package var workingDirectory: String
  /// Made by hand: then flags, environment and file are not read, and what differs from the defaults counts as given.
  package var program: Settings?
  /// Of AWS SSM, as they were when it was asked the last time. Nil: it was not asked.
  package var parameters: [StoredParameter]?

  package init(
    flags: [String: String] = [:], environment: [String: String] = [:], workingDirectory: String = "/",
    program: Settings? = nil
  ) {
    self.flags = flags
    self.environment = environment
    self.workingDirectory = workingDirectory
    self.program = program
  }

  /// Reads everything, and asks AWS SSM where the sources say so.
  package mutating func load() async throws(SettingsError) -> LoadedSettings {
    // Once, where SSM is not asked: a file may be a pipe. What is wrong without SSM may be right with it.
    let first: Result<LoadedSettings, SettingsError>
    do throws(SettingsError) { first = .success(try Settings.load(self)) } catch { first = .failure(error) }
    if case .success(let loaded) = first, loaded.settings.config.ssm.path == nil { return loaded }
    let (config, origin) = Settings.config(of: self)
    guard let path = config.ssm.path, Settings.sourceComplaints(Settings(config: config)).isEmpty else {
      return try first.get()
    }
    do throws(AWSFailure) {
      parameters = try await ParameterStore(config.ssm, environment: environment).parameters()
    } catch {
      throw SettingsError(problems: [
        SettingsProblem(
          key: "config.ssm.path", value: "\"\(path)\"", source: origin, detail: "cannot be read: \(error)")
      ])
    }
    return try Settings.load(self)
  }
}
