// The settings of traces: what is right, and what is refused without telling secrets.

import Testing

@testable import Martlet

@Suite struct TelemetrySettingsTests {
  private func load(_ environment: [String: String], _ files: [String: String] = [:]) throws -> LoadedSettings {
    try withDirectory(files) { directory in
      try Settings.load(flags: [:], environment: environment, workingDirectory: directory)
    }
  }

  @Test func `each of them comes from its variable`() throws {
    let settings = try load([
      "MARTLET_TELEMETRY_OTLP_ENDPOINT": "https://collector.example:4318/",
      "MARTLET_TELEMETRY_OTLP_HEADERS": "Authorization=Bearer a=b, X-Tenant=shop",
      "MARTLET_TELEMETRY_SERVICE_NAME": "tasks of the shop", "MARTLET_TELEMETRY_SAMPLE_RATIO": "0.25",
    ]).settings
    #expect(
      settings.telemetry
        == .init(
          otlp: .init(
            endpoint: "https://collector.example:4318/", headers: ["Authorization=Bearer a=b", "X-Tenant=shop"]),
          serviceName: "tasks of the shop", sampleRatio: 0.25))
    let pair = try #require(Settings.OTLP.pair("Authorization=Bearer a=b"))
    #expect((pair.name, pair.value) == ("Authorization", "Bearer a=b"))
  }

  @Test func `they may stand in the file, and by default nothing is traced`() throws {
    let file = """
      telemetry:
        otlp:
          endpoint: http://collector:4318
          headers: ["Authorization=s3cret"]
      """
    let loaded = try load([:], ["martlet.yaml": file])
    #expect(loaded.settings.telemetry.otlp.headers == ["Authorization=s3cret"])
    let shown = loaded.describe().first { $0.key == "telemetry.otlp.headers" }
    #expect(shown?.value == "(hidden)")
    #expect(Settings().telemetry == .init(otlp: .init(endpoint: nil), serviceName: "martlet", sampleRatio: 1))
  }

  @Test(arguments: [
    (["ENDPOINT": "collector:4318"], "telemetry.otlp.endpoint", "must be an http or https URL with a host"),
    (["ENDPOINT": "http://u:s3cret@collector"], "telemetry.otlp.endpoint", "belong into telemetry.otlp.headers"),
    (["HEADERS": "A=s3cret"], "telemetry.otlp.headers", "needs telemetry.otlp.endpoint beside it"),
    (["ENDPOINT": "http://c", "HEADERS": "s3cret"], "telemetry.otlp.headers", "must be name=value each"),
    (["ENDPOINT": "http://c", "HEADERS": "Content-Type=s3cret"], "telemetry.otlp.headers", "must be name=value each"),
    (["ENDPOINT": "http://c", "HEADERS": "A=s3\u{7}cret"], "telemetry.otlp.headers", "must be name=value each"),
  ])
  func `what cannot be is refused`(given: [String: String], key: String, words: String) throws {
    let environment = Dictionary(uniqueKeysWithValues: given.map { ("MARTLET_TELEMETRY_OTLP_" + $0, $1) })
    let error = try #require(throws: SettingsError.self) { try load(environment) }
    #expect(error.problems.map(\.key) == [key])
    #expect("\(error)".contains(words))
    #expect(!"\(error)".contains("s3cret"))
  }

  @Test(arguments: ["-0.1", "1.1", "most"])
  func `a ratio is from 0 to 1`(text: String) {
    #expect(throws: SettingsError.self) { try load(["MARTLET_TELEMETRY_SAMPLE_RATIO": text]) }
  }
}
