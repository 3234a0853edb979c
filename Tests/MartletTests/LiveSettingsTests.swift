// What a running node makes of a configuration that changes: taken over as a whole, or refused as a whole and told of once.

import Foundation
import Logging
import MartletCore
import MartletEngine
import Synchronization
import Testing

@testable import Martlet

/// A node's settings over a folder with a `martlet.yaml`, and what they have written to the log.
private final class Bench: Sendable {
  let directory: String
  let settings: LiveSettings
  private let written: Lines

  final class Lines: Sendable {
    let all = Mutex<[String]>([])
  }

  init(in directory: String, _ yaml: String, environment: [String: String] = [:]) throws {
    self.directory = directory
    try Data(yaml.utf8).write(to: URL(fileURLWithPath: directory + "/martlet.yaml"))
    let sources = SettingsSources(environment: environment, workingDirectory: directory)
    let lines = Lines()
    written = lines
    let logger = Logger(label: "test") { _ in
      LineLogHandler(format: .text) { bytes in lines.all.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
      }
    }
    settings = LiveSettings(try Settings.load(sources), from: sources, logger: logger)
    settings.begin(with: nil)
  }

  func write(_ yaml: String) throws {
    // As editors and Kubernetes do: another file takes its place.
    let file = URL(fileURLWithPath: directory + "/martlet.yaml")
    try Data(yaml.utf8).write(to: file, options: .atomic)
  }

  func change(_ yaml: String) throws {
    try write(yaml)
    settings.reload()
  }

  /// The lines since the last call, without their times.
  var lines: [String] {
    written.all.withLock { all in
      defer { all = [] }
      return all.map { String($0.drop { $0 != " " }.dropFirst().dropLast()) }
    }
  }
}

/// The versions that were handed out.
private final class Heard: Sendable {
  let retries = Mutex<[Int]>([])
}

/// What readers have met.
private final class Watch: Sendable {
  let versions = Mutex<Set<Int>>([])
  let mixtures = Atomic(0)
  let isOver = Atomic(false)

  func read(_ live: LiveSettings) {
    while !isOver.load(ordering: .relaxed) {
      let settings = live.running
      let number = settings.tasks.maxRetries
      if settings.workers.concurrency != number + 1 || settings.retention.deadSeconds != Double(number) {
        mixtures.wrappingAdd(1, ordering: .relaxed)
      }
      versions.withLock { _ = $0.insert(number) }
      usleep(50)
    }
  }
}

private func withBench(
  _ yaml: String, environment: [String: String] = [:], _ body: (Bench) throws -> Void
) throws {
  try withDirectory { directory in try body(try Bench(in: directory, yaml, environment: environment)) }
}

@Suite struct LiveSettingsTests {
  @Test func `what was changed is taken over and told of by its names`() throws {
    try withBench("tasks: {maxRetries: 5}") { bench in
      let heard = Heard()
      bench.settings.onChange { new in heard.retries.withLock { $0.append(new.tasks.maxRetries) } }
      try bench.change("tasks: {maxRetries: 7}\nlog: {level: debug}")
      #expect(bench.settings.running.tasks.maxRetries == 7 && bench.settings.running.log.level == .debug)
      #expect(heard.retries.withLock(\.self) == [7])
      #expect(bench.lines == ["INFO the configuration was changed settings=tasks.maxRetries, log.level"])
      bench.settings.reload()
      #expect(heard.retries.withLock(\.self) == [7] && bench.lines == [])
      try bench.change("")
      #expect(bench.settings.running == Settings())
    }
  }

  @Test func `an invalid configuration is refused as a whole, told of once, and the old one stays`() throws {
    try withBench("tasks: {maxRetries: 5}\nworkers: {concurrency: 3}") { bench in
      let before = bench.settings.running
      try bench.change("tasks: {maxRetries: 7}\nworkers: {concurrency: none}\nlogs: {level: debug}")
      #expect(bench.settings.running == before)
      #expect(
        bench.settings.version.refusal?.problems.map(\.description) == [
          "logs (martlet.yaml:3): is not a known setting; did you mean log?",
          #"workers.concurrency = "none" (martlet.yaml:2): must be a whole number from 1 to 10000"#,
        ])
      #expect(!bench.settings.component.isHealthy)
      #expect(bench.settings.component.detail?.contains("refused for 2 faults") == true)
      let lines = bench.lines
      #expect(lines.count == 1 && lines[0].hasPrefix("ERROR the configuration is refused"))
      bench.settings.reload()
      #expect(bench.lines == [], "it is told of once")
      try bench.change("tasks: [maxRetries")
      #expect(bench.settings.running == before && bench.lines.count == 1)
      try bench.change("tasks: {maxRetries: 5}\nworkers: {concurrency: 3}")
      #expect(bench.settings.version.refusal == nil && bench.settings.component.isHealthy)
      #expect(bench.lines == ["INFO the configuration is valid again"])
    }
  }

  @Test func `what needs a restart waits for it, and the rest counts`() throws {
    try withBench("server: {port: 9000}") { bench in
      try bench.change("server: {port: 9001}\nlog: {format: json}\ntasks: {maxRetries: 9}")
      #expect(bench.settings.running.server.port == 9000 && bench.settings.running.log.format == .text)
      #expect(bench.settings.running.tasks.maxRetries == 9)
      #expect(bench.settings.version.waiting == ["server.port", "log.format"])
      #expect(bench.settings.component.isHealthy)
      #expect(bench.settings.component.detail == "needs a restart: server.port, log.format")
      #expect(bench.lines.last == "WARNING settings were changed that need a restart settings=server.port, log.format")
      bench.settings.reload()
      #expect(bench.lines == [])
      try bench.change("server: {port: 9000}")
      #expect(bench.settings.version.waiting == [] && bench.settings.component.detail == nil)
    }
  }

  @Test func `what goes with the new value of a setting that needs a restart waits with it`() throws {
    try withBench("") { bench in
      try bench.change("server: {maxBodyBytes: 20000000}\ntasks: {maxPayloadBytes: 10000000, maxRetries: 9}")
      #expect(bench.settings.running == Settings())
      #expect(
        bench.settings.version.refusal?.problems.map(\.description).first?.contains("server.maxBodyBytes (8388608)")
          == true)
    }
  }

  @Test func `a file that comes, goes or cannot be read is a change as any other`() throws {
    try withBench("tasks: {maxRetries: 5}", environment: ["MARTLET_CONFIG_FILE": "martlet.yaml"]) { bench in
      try FileManager.default.removeItem(atPath: bench.directory + "/martlet.yaml")
      bench.settings.reload()
      #expect(bench.settings.running.tasks.maxRetries == 5)
      #expect(bench.settings.version.refusal?.description.contains("there is no such file") == true)
    }
    try withBench("tasks: {maxRetries: 5}") { bench in
      try FileManager.default.removeItem(atPath: bench.directory + "/martlet.yaml")
      bench.settings.reload()
      #expect(bench.settings.running == Settings())
    }
  }

  @Test func `readers meet whole versions alone, however fast they change and however often they are refused`()
    async throws
  {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    func yaml(_ number: Int) -> String {
      "tasks: {maxRetries: \(number % 100)}\nworkers: {concurrency: \(number % 100 + 1)}\nretention: {deadSeconds: \(number % 100)}"
    }
    let bench = try Bench(in: directory, yaml(0))
    let watch = Watch()
    // On a thread of its own: who reads without a pause must not keep others from their turn.
    let reader = Thread { watch.read(bench.settings) }
    reader.start()
    defer { watch.isOver.store(true, ordering: .relaxed) }
    for number in 1...20 {
      try bench.change(yaml(number))
      try bench.change(yaml(number + 1) + "\ntasks.backoff.jitter: much")
      #expect(bench.settings.running.tasks.maxRetries == number)
      while !watch.versions.withLock({ $0.contains(number) }) { try await Task.sleep(for: .milliseconds(1)) }
    }
    #expect(watch.versions.withLock(\.count) >= 20)
    #expect(watch.mixtures.load(ordering: .relaxed) == 0)
  }

  @Test func `the level of the log changes for all loggers that have none of their own`() {
    let level = Live(Logger.Level.info)
    let logger = LineLogHandler.logger(.text, level: level)
    var quiet = logger
    quiet.logLevel = .critical
    level.replace(with: .trace)
    #expect(logger.logLevel == .trace && quiet.logLevel == .critical)
  }

  @Test func `a mail server and secrets that were changed are those of the next delivery`() async throws {
    var settings = Settings()
    let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let post = try NoticePost(settings: settings, logger: quiet)
    #expect(post.channels == [.webhook])
    settings.notifications.smtp.host = "mail.example.com"
    settings.notifications.email.from = "martlet@example.com"
    post.take(over: settings)
    #expect(post.channels == [.webhook, .email])
    await post.shutdown()
  }
}
