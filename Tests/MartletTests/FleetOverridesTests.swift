// Settings that are set for all nodes, as one node takes them: their place among the others, what cannot be set, what is passed over.

import Foundation
import Logging
import MartletCore
import MartletEngine
import Testing

@testable import Martlet

private func revision(_ number: Int, _ overrides: [String: String]) -> SettingsRevision {
  SettingsRevision(
    number: number, at: Timestamp(milliseconds: 0), actor: "key:a", changes: [:], overrides: overrides)
}

private func withNode(
  _ yaml: String = "", environment: [String: String] = [:], flags: [String: String] = [:], program: Settings? = nil,
  _ body: (LiveSettings) throws -> Void
) throws {
  try withDirectory(["martlet.yaml": yaml]) { directory in
    let sources = SettingsSources(flags: flags, environment: environment, workingDirectory: directory, program: program)
    let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    try body(LiveSettings(try Settings.load(sources), from: sources, logger: quiet))
  }
}

extension LiveSettings {
  fileprivate func source(of key: String) -> String { version.loaded.source(of: key) }

  /// What is wrong with one override.
  fileprivate func faults(_ overrides: [String: String]) async -> [String] {
    await problems(with: overrides, changed: Set(overrides.keys)).map { "\($0.key ?? "-") \($0.detail)" }
  }
}

@Suite struct FleetOverridesTests {
  @Test func `they come after flags and environment and before file and defaults`() throws {
    try withNode(
      "workers: {concurrency: 2}\ntasks: {maxRetries: 2, timeoutSeconds: 2}",
      environment: ["MARTLET_TASKS_TIMEOUT_SECONDS": "1"], flags: ["log.level": "error"]
    ) { node in
      node.begin(
        with: revision(
          4,
          [
            "workers.concurrency": "3", "tasks.timeoutSeconds": "3", "log.level": #""debug""#,
            "tasks.backoff.strategy": #""fixed""#, "workers.queues": #"["a","b"]"#,
          ]))
      let settings = node.running
      #expect(settings.workers.concurrency == 3 && settings.tasks.maxRetries == 2 && settings.tasks.timeoutSeconds == 1)
      #expect(settings.log.level == .error && settings.tasks.backoff.strategy == .fixed)
      #expect(settings.workers.queues == ["a", "b"], "before anything is made of them, all count")
      #expect(node.source(of: "workers.concurrency") == "fleet" && node.source(of: "log.level") == "--log.level")
      #expect(node.version.revision == 4 && node.version.waiting == [])
    }
  }

  @Test func `of settings made by hand those that say something go first`() throws {
    var program = Settings()
    program.tasks.maxRetries = 9
    try withNode(program: program) { node in
      node.begin(with: revision(1, ["tasks.maxRetries": "1", "workers.concurrency": "3"]))
      #expect(node.running.tasks.maxRetries == 9 && node.running.workers.concurrency == 3)
      #expect(node.source(of: "tasks.maxRetries") == "program")
    }
  }

  @Test func `a later revision counts, an earlier one does not`() throws {
    try withNode { node in
      node.begin(with: nil)
      node.takeOver(revision(2, ["tasks.maxRetries": "5"]))
      node.takeOver(revision(1, ["tasks.maxRetries": "4"]))
      #expect(node.running.tasks.maxRetries == 5 && node.knownRevision == 2)
      node.takeOver(revision(3, [:]))
      #expect(node.running.tasks.maxRetries == Settings().tasks.maxRetries && node.version.revision == 3)
    }
  }

  @Test func `those that do not go with the node's own configuration are left out as a whole`() throws {
    try withNode("server: {maxBodyBytes: 2000}\ntasks: {maxPayloadBytes: 1000}") { node in
      node.begin(with: revision(7, ["tasks.maxPayloadBytes": "3000", "tasks.maxRetries": "9"]))
      #expect(node.running.tasks.maxPayloadBytes == 1000 && node.running.tasks.maxRetries == 3)
      #expect(node.version.revision == 0 && node.version.refusal != nil && !node.component.isHealthy)
      node.takeOver(revision(8, ["tasks.maxRetries": "9"]))
      #expect(node.running.tasks.maxRetries == 9 && node.version.refusal == nil && node.component.isHealthy)
    }
  }

  @Test func `what a newer version has set is passed over`() throws {
    try withNode { node in
      node.begin(with: revision(1, ["tasks.fromTheFuture": "1", "tasks.maxRetries": "5", "auth.jwt.issuer": #""x""#]))
      #expect(node.running.tasks.maxRetries == 5 && node.version.refusal == nil && node.running.auth.jwt.issuer == nil)
      #expect(node.version.loaded.warnings.count == 2)
    }
  }

  @Test func `what needs a restart waits for it, and is shown`() throws {
    try withNode { node in
      node.begin(with: nil)
      node.takeOver(revision(1, ["log.format": #""json""#]))
      #expect(node.running.log.format == .text && node.version.waiting == ["log.format"])
      let row = node.state.settings.first { $0.key == "log.format" }
      #expect(row?.value == Array(#""text""#.utf8) && row?.next == Array(#""json""#.utf8))
      #expect(row?.override == Array(#""json""#.utf8) && row?.source == "fleet")
    }
  }

  @Test(arguments: [
    ("auth.jwt.secret", "is secret"), ("auth.bootstrapKey", "is secret"), ("redis.url", "is secret"),
    ("notifications.webhook.secret", "is secret"), ("notifications.smtp.password", "is secret"),
    ("events.rabbitmq.url", "is secret"), ("database.url", "is needed before"),
    ("database.connections", "is needed before"),
    ("config.file", "says where"), ("config.reloadSeconds", "says where"), ("server.host", "is each node's own"),
    ("server.port", "is each node's own"), ("server.roles", "is each node's own"),
    ("server.tls.certificate", "names files"), ("auth.apiKeys", "decides who"), ("auth.jwt.jwks", "decides who"),
    ("notifications.smtp.host", "goes together with the password"), ("notifications.email.templates", "names files"),
    ("telemetry.otlp.endpoint", "goes together with the headers"), ("telemetry.otlp.headers", "is secret"),
    ("events.kafka.brokers", "goes together with the properties"), ("events.kafka.properties", "is secret"),
    ("config.ssm.endpoint", "says where"),
  ])
  func `what cannot be set for all nodes says why`(key: String, reason: String) {
    #expect(Settings.fault(ofOverride: key, #""x""#)?.hasPrefix(reason) == true)
  }

  @Test(arguments: [
    ("tasks.maxRetries", "5", nil), ("tasks.maxRetries", #""5""#, nil),
    ("tasks.maxRetries", "5.5", "must be a whole number from 0 to 100"),
    ("tasks.maxRetries", "500", "must be a whole number from 0 to 100"),
    ("tasks.maxRetries", "[5]", "must be one value, not a list"),
    ("tasks.maxRetry", "5", "is not a known setting; did you mean tasks.maxRetries?"),
    ("retention.deadSeconds", #""never""#, nil), ("retention.deadSeconds", "60.5", nil),
    ("network.allowPrivateTargets", "true", nil),
    ("network.allowPrivateTargets", #""perhaps""#, "must be true or false"),
    ("workers.queues", #"["a","b"]"#, nil), ("workers.queues", #""a,b""#, nil),
    ("workers.queues", #"["a",{}]"#, "must be a text, a number, true, false or a list of them"),
    (
      "notifications.webhook.url", #""https://u:p@example.com/""#,
      "has a password or another secret in it, which all nodes would show"
    ),
  ])
  func `each value is judged by itself, whatever stands above it`(key: String, json: String, fault: String?) {
    #expect(Settings.fault(ofOverride: key, json) == fault)
  }

  @Test func `they are judged as a whole with the configuration of the node that is asked`() async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let sources = SettingsSources(
      environment: ["MARTLET_TASKS_MAX_RETRIES": "4"], workingDirectory: directory)
    let node = LiveSettings(
      try Settings.load(sources), from: sources, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    #expect(await node.faults(["tasks.maxRetries": "5"]) == [], "though the environment goes first here")
    #expect(
      await node.faults(["tasks.maxRetries": "500", "log.level": #""loud""#]) == [
        "log.level must be one of trace, debug, info, notice, warning, error, critical",
        "tasks.maxRetries must be a whole number from 0 to 100",
      ])
    #expect(
      await node.faults(["notifications.type": #""webhook""#]) == [
        "notifications.webhook.url is missing: notifications.type webhook needs a receiver"
      ])
    #expect(
      await node.faults(["notifications.type": #""webhook""#, "notifications.webhook.url": #""https://a.example/""#])
        == [])
    // What is wrong already is nobody's fault who changes something else.
    try Data("tasks: {backoff: 5}".utf8).write(to: URL(fileURLWithPath: directory + "/martlet.yaml"))
    node.reload()
    #expect(node.version.refusal != nil)
    #expect(await node.faults(["tasks.leaseSeconds": "50"]) == [])
  }

  @Test func `secrets are shown as hidden, and as null where they are not set`() throws {
    try withNode(environment: ["MARTLET_AUTH_BOOTSTRAP_KEY": String(repeating: "k", count: 40)]) { node in
      let rows = Dictionary(
        uniqueKeysWithValues: node.state.settings.map { ($0.key, String(decoding: $0.value, as: UTF8.self)) })
      #expect(rows["auth.bootstrapKey"] == #""(hidden)""# && rows["auth.jwt.secret"] == "null")
      #expect(rows["tasks.maxRetries"] == "3" && rows["tasks.backoff.jitter"] == "0.2")
      #expect(rows["network.allowPrivateTargets"] == "false" && rows["workers.queues"] == #"["*"]"#)
      #expect(
        rows["server.roles"] == #"["api","scheduler","worker","notifier"]"#
          && rows["retention.successSeconds"] == "604800")
      #expect(rows["config.file"] == #""martlet.yaml""# && rows["rateLimit.perSecond"] == "null")
      #expect(!node.state.settings.contains { String(decoding: $0.value, as: UTF8.self).contains("kkkk") })
    }
  }
}
