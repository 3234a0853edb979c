// Settings from AWS SSM, asked of a Parameter Store that checks signatures, decrypts and pages as AWS does.

import AWSServer
import Foundation
import Logging
import MartletCore
import MartletEngine
import ScriptedServer
import Testing

@testable import Martlet

@Suite(.serialized) struct ParameterStoreTests {
  private static func store(
    _ server: AWSServer, _ change: [String: String] = [:], path: String = "/prod/martlet"
  ) throws(AWSFailure) -> ParameterStore {
    try ParameterStore(
      Settings.SSM(path: path, endpoint: server.endpoint), environment: server.environment.merging(change) { $1 })
  }

  private static func load(
    _ server: AWSServer, yaml: String = "", environment: [String: String] = [:]
  ) async throws -> LoadedSettings {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    try Data(yaml.utf8).write(to: URL(fileURLWithPath: directory + "/martlet.yaml"))
    var sources = SettingsSources(
      environment: server.environment.merging([
        "MARTLET_CONFIG_SSM_PATH": "/prod/martlet", "MARTLET_CONFIG_SSM_ENDPOINT": server.endpoint,
      ]) { $1 }.merging(environment) { $1 }, workingDirectory: directory)
    return try await sources.load()
  }

  private static func refusal(of sources: SettingsSources) async -> SettingsError? {
    var sources = sources
    do throws(SettingsError) {
      _ = try await sources.load()
      return nil
    } catch {
      return error
    }
  }

  private static func failure(_ body: () async throws(AWSFailure) -> [StoredParameter]) async -> String {
    do throws(AWSFailure) {
      return "\(try await body())"
    } catch {
      return error.description
    }
  }

  @Test func `everything beneath the path comes, page by page and decrypted`() async throws {
    let server = try await AWSServer.start()
    for number in 1...23 { try await server.put("/prod/martlet/deep/er/p\(number)", "value \(number)") }
    try await server.put("/prod/martlet/secret", "geheim", .secret)
    try await server.put("/prod/martlet/list", "a,b", .list)
    try await server.put("/prod/martlets/other", "x")
    let found = try await Self.store(server).parameters()
    #expect(found.count == 25)
    #expect(Set(found.filter(\.isSecret).map(\.name)) == ["/prod/martlet/secret"])
    #expect(found.first { $0.name == "/prod/martlet/secret" }?.value == "geheim")
    #expect(found.first { $0.name == "/prod/martlet/list" }?.value == "a,b")
    #expect(found.map(\.name) == found.map(\.name).sorted())
    #expect(try await Self.store(server, path: "/nothing").parameters() == [])
    await server.stop()
  }

  @Test func `a wrong secret is refused, and so the signature was looked at`() async throws {
    let server = try await AWSServer.start()
    try await server.put("/prod/martlet/log/level", "debug")
    #expect(try await Self.store(server).parameters().count == 1)
    for wrong in [["AWS_SECRET_ACCESS_KEY": "wrong"], ["AWS_ACCESS_KEY_ID": "AKIANOBODYKNOWSHIM00"]] {
      let line = await Self.failure { () async throws(AWSFailure) in
        try await Self.store(server, wrong).parameters()
      }
      #expect(line.hasPrefix("SSM answered 4") && !line.contains("wrong"), "\(line)")
    }
    await server.stop()
  }

  @Test func `parameters are settings after the file and before flags, environment and the fleet`() async throws {
    let server = try await AWSServer.start()
    try await server.put("/prod/martlet/workers/concurrency", "3")
    try await server.put("/prod/martlet/tasks.timeoutSeconds", "33")
    try await server.put("/prod/martlet/MAX_RETRIES", "13")
    try await server.put("/prod/martlet/NOTIFICATION_TYPE", "webhook", .secret)
    try await server.put("/prod/martlet/notifications/webhook/url", "https://hooks.example/secret-path", .secret)
    try await server.put("/prod/martlet/auth/jwt/secret", "0123456789abcdef0123456789abcdef", .secret)
    try await server.put("/prod/martlet/workers/queues", "mail,video", .list)
    let loaded = try await Self.load(
      server, yaml: "workers: {concurrency: 2}\ntasks: {leaseSeconds: 22}",
      environment: ["MARTLET_TASKS_TIMEOUT_SECONDS": "11"])
    let settings = loaded.settings
    #expect(settings.workers.concurrency == 3 && settings.tasks.maxRetries == 13 && settings.tasks.leaseSeconds == 22)
    #expect(settings.tasks.timeoutSeconds == 11 && settings.workers.queues == ["mail", "video"])
    #expect(settings.auth.jwt.secret == "0123456789abcdef0123456789abcdef" && settings.notifications.type == .webhook)
    #expect(loaded.source(of: "workers.concurrency") == "ssm:/prod/martlet/workers/concurrency")
    #expect(loaded.source(of: "tasks.maxRetries") == "ssm:/prod/martlet/MAX_RETRIES")
    // Of what is kept encrypted nothing is shown, whatever setting it is.
    let rows = Dictionary(uniqueKeysWithValues: loaded.describe().map { ($0.key, $0.value) })
    #expect(rows["auth.jwt.secret"] == "(hidden)" && rows["notifications.webhook.url"] == "(hidden)")
    #expect(rows["notifications.type"] == "(hidden)" && rows["workers.concurrency"] == "3")
    await server.stop()
  }

  @Test func `what is wrong with parameters is told by their names, without secret values`() async throws {
    let server = try await AWSServer.start()
    try await server.put("/prod/martlet/workers/concurency", "3")
    try await server.put("/prod/martlet/tasks/maxRetries", "5geheim5", .secret)
    try await server.put("/prod/martlet/config/ssm/path", "/elsewhere")
    do {
      _ = try await Self.load(server)
      Issue.record("it was taken")
    } catch let error as SettingsError {
      #expect(
        Set(error.problems.map(\.description)) == [
          "workers.concurency (ssm:/prod/martlet/workers/concurency): is not a known setting; did you mean workers.concurrency?",
          "tasks.maxRetries = (hidden) (ssm:/prod/martlet/tasks/maxRetries): must be a whole number from 0 to 100",
          "config.ssm.path (ssm:/prod/martlet/config/ssm/path): says where settings are, and cannot come from there",
        ])
    }
    await server.stop()
  }

  @Test func `a store that cannot be asked at the start is an error, later its last values stay`() async throws {
    let server = try await AWSServer.start()
    try await server.put("/prod/martlet/tasks/maxRetries", "5")
    var sources = SettingsSources(
      environment: server.environment.merging([
        "MARTLET_CONFIG_SSM_PATH": "/prod/martlet", "MARTLET_CONFIG_SSM_ENDPOINT": server.endpoint,
      ]) { $1 })
    let loaded = try await sources.load()
    let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let live = LiveSettings(loaded, from: sources, logger: quiet)
    let store = try #require(try live.parameterStore())
    try await server.put("/prod/martlet/tasks/maxRetries", "6")
    live.reload(with: try await store.parameters())
    #expect(live.running.tasks.maxRetries == 6)
    await server.stop()
    let failure = await #expect(throws: AWSFailure.self) { try await store.parameters() }
    live.reload(without: try #require(failure))
    #expect(live.running.tasks.maxRetries == 6 && !live.component.isHealthy)
    #expect(live.state.problems.contains { $0.contains("cannot be reached") })
    live.reload(with: [])
    #expect(live.component.isHealthy && live.running.tasks.maxRetries == 3)
    let error = await Self.refusal(of: sources)
    #expect(
      error?.description.contains("config.ssm.path = \"/prod/martlet\" (MARTLET_CONFIG_SSM_PATH): cannot be read: ")
        == true)
  }

  @Test func `a throttled call is tried again, a refused one is not`() async throws {
    func store(_ address: String) throws -> ParameterStore {
      try ParameterStore(
        Settings.SSM(path: "/a", region: "eu-central-1", endpoint: address),
        environment: ["AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"], clock: HastyClock())
    }
    try await ScriptedServer.serving { _, number in
      number < 2
        ? .json(400, #"{"__type":"ThrottlingException","message":"Rate exceeded"}"#) : .json(200, #"{"Parameters":[]}"#)
    } _: { server in
      let found = try await store(server.address).parameters()
      #expect(found == [] && server.requests.count == 3)
    }
    try await ScriptedServer.serving { _, _ in
      .json(400, #"{"__type":"com.amazonaws.ssm#AccessDeniedException","message":"no\nmore"}"#)
    } _: { server in
      let error = await #expect(throws: AWSFailure.self) { try await store(server.address).parameters() }
      #expect(error?.description == "SSM answered 400: AccessDeniedException: no")
      #expect(server.requests.count == 1)
    }
  }

  @Test func `a path without a region, and what is no path, are told at once`() throws {
    #expect(throws: AWSFailure("the region is missing: set config.ssm.region or AWS_REGION")) {
      try ParameterStore(Settings.SSM(path: "/a"), environment: [:])
    }
    var settings = Settings()
    settings.config.ssm = Settings.SSM(path: "prod", region: "eu central", endpoint: "ftp://x")
    #expect(throws: SettingsError.self) { try settings.check() }
  }
}

/// Waits for nothing.
private struct HastyClock: EngineClock {
  var now: MonotonicTime { MonotonicTime(nanoseconds: 0) }
  func sleep(until deadline: MonotonicTime) async throws {}
}
