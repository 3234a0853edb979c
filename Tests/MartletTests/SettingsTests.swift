// Where settings come from, which source wins, and what is said about each that is wrong.

import Foundation
import Logging
import MartletCore
import Testing

@testable import Martlet

/// A directory with the given files in it, removed in the end.
func withDirectory<Result>(_ files: [String: String] = [:], _ body: (String) throws -> Result) throws -> Result {
  let directory = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())")
  try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: directory) }
  for (name, text) in files {
    try Data(text.utf8).write(to: directory.appendingPathComponent(name))
  }
  return try body(directory.path)
}

private func load(
  flags: [String: String] = [:], environment: [String: String] = [:], yaml: String? = nil
) throws -> LoadedSettings {
  try withDirectory(yaml.map { ["martlet.yaml": $0] } ?? [:]) { directory in
    try Settings.load(flags: flags, environment: environment, workingDirectory: directory)
  }
}

/// The lines of what was wrong; empty when nothing was.
private func problems(
  flags: [String: String] = [:], environment: [String: String] = [:], yaml: String? = nil
) throws -> [String] {
  do {
    _ = try load(flags: flags, environment: environment, yaml: yaml)
    return []
  } catch let error as SettingsError {
    return error.problems.map(\.description)
  }
}

@Suite("Settings by default")
struct DefaultSettingsTests {
  @Test("are one node on loopback over a SQLite file")
  func defaults() throws {
    let loaded = try load()
    #expect(loaded.settings == Settings())
    let settings = loaded.settings
    #expect(settings.server.host == "127.0.0.1" && settings.server.port == 8080)
    #expect(settings.server.maxBodyBytes == 8_388_608)
    #expect(settings.server.roles == [.api, .scheduler, .worker, .notifier])
    #expect(
      settings.database == .init(url: "sqlite:martlet.db", connections: 4, schema: "martlet", durability: .strict))
    #expect(settings.workers == .init(concurrency: 32, queues: ["*"], shutdownGraceSeconds: 25))
    #expect(settings.tasks.defaults == TaskDefaults())
    #expect(
      settings.retention.policy
        == RetentionPolicy(success: .seconds(604_800), dead: .seconds(7_776_000), cancelled: .seconds(2_592_000)))
    #expect(settings.privateTargetsAreAllowed)
    #expect(settings.log.level == .info && settings.log.format == .text)
    #expect(loaded.file == nil && loaded.warnings.isEmpty)
  }

  @Test("say so of each of them")
  func sources() throws {
    #expect(try load().describe().allSatisfy { $0.source == "default" })
  }

  @Test("pass their own validation")
  func valid() throws {
    try Settings().check()
  }
}

@Suite("Settings by source")
struct SettingsSourceTests {
  @Test("come from the file, by section and by dotted name")
  func file() throws {
    let loaded = try load(
      yaml: """
        # a comment
        server:
          port: 9000
          maxBodyBytes: 1048576
          roles: [api, Worker]
        database: {url: "sqlite::memory:", durability: relaxed}
        workers:
          concurrency: 4
          queues:
            - mail
            - 'video:large'
          shutdownGraceSeconds: 2.5
        tasks.maxRetries: 7
        tasks:
          timeoutSeconds: 60
          leaseSeconds: 5
          maxPayloadBytes: 1000
          backoff: {strategy: linear, baseSeconds: 0.5, factor: 3, maxSeconds: 10, jitter: 0}
        retention:
          successSeconds: 60
          deadSeconds: never
        idempotency: {retentionSeconds: 3600}
        network: {allowPrivateTargets: no}
        log: {level: debug, format: json}
        """)
    let settings = loaded.settings
    #expect(settings.server == .init(port: 9000, maxBodyBytes: 1_048_576, roles: [.api, .worker]))
    #expect(settings.database.url == "sqlite::memory:" && settings.database.durability == .relaxed)
    #expect(settings.workers == .init(concurrency: 4, queues: ["mail", "video:large"], shutdownGraceSeconds: 2.5))
    #expect(
      settings.tasks
        == .init(
          maxRetries: 7, timeoutSeconds: 60, leaseSeconds: 5, maxPayloadBytes: 1000,
          backoff: RetryPolicy(strategy: .linear, baseSeconds: 0.5, factor: 3, maxSeconds: 10, jitter: 0)))
    #expect(settings.retention == .init(successSeconds: 60, deadSeconds: nil))
    #expect(settings.idempotency.retentionSeconds == 3600)
    #expect(!settings.privateTargetsAreAllowed)
    #expect(settings.log == .init(level: .debug, format: .json))
    #expect(loaded.file == "martlet.yaml")
    #expect(loaded.source(of: "server.port") == "martlet.yaml:3")
    #expect(loaded.source(of: "workers.queues") == "martlet.yaml:9")
    #expect(loaded.source(of: "tasks.maxRetries") == "martlet.yaml:13")
    #expect(loaded.source(of: "tasks.backoff.jitter") == "martlet.yaml:18")
    #expect(loaded.source(of: "retention.cancelledSeconds") == "default")
    #expect(loaded.source(of: "config.file") == "martlet.yaml")
  }

  @Test("come from the environment, with an underscore for each dot and each hump")
  func environment() throws {
    let loaded = try load(environment: [
      "MARTLET_SERVER_MAX_BODY_BYTES": " 2048 ", "MARTLET_TASKS_MAX_PAYLOAD_BYTES": "1024",
      "MARTLET_SERVER_ROLES": "scheduler, worker", "MARTLET_WORKERS_SHUTDOWN_GRACE_SECONDS": "0",
      "MARTLET_RETENTION_DEAD_SECONDS": "never", "MARTLET_NETWORK_ALLOW_PRIVATE_TARGETS": "FALSE",
      "MARTLET_LOG_LEVEL": "warning", "PATH": "/bin",
    ])
    #expect(loaded.settings.server.maxBodyBytes == 2048)
    #expect(loaded.settings.server.roles == [.scheduler, .worker])
    #expect(loaded.settings.workers.shutdownGraceSeconds == 0)
    #expect(loaded.settings.retention.deadSeconds == nil)
    #expect(!loaded.settings.privateTargetsAreAllowed)
    #expect(loaded.settings.log.level == .warning)
    #expect(loaded.source(of: "server.maxBodyBytes") == "MARTLET_SERVER_MAX_BODY_BYTES")
  }

  @Test("come from flags before the environment before the file before the defaults")
  func precedence() throws {
    let yaml = """
      server: {host: localhost, port: 1001}
      workers: {concurrency: 5, queues: [a]}
      log: {level: error}
      """
    let loaded = try load(
      flags: ["server.port": "1003"],
      environment: ["MARTLET_SERVER_PORT": "1002", "MARTLET_WORKERS_CONCURRENCY": "6"], yaml: yaml)
    #expect(loaded.settings.server.port == 1003 && loaded.source(of: "server.port") == "--port")
    #expect(loaded.settings.workers.concurrency == 6)
    #expect(loaded.source(of: "workers.concurrency") == "MARTLET_WORKERS_CONCURRENCY")
    #expect(loaded.settings.log.level == .error && loaded.source(of: "log.level") == "martlet.yaml:3")
    #expect(loaded.settings.server.host == "localhost")
    #expect(loaded.settings.workers.queues == ["a"])
    #expect(loaded.settings.tasks.maxRetries == 3 && loaded.source(of: "tasks.maxRetries") == "default")
  }

  @Test("name a PostgreSQL database by file, variables and flag")
  func postgres() throws {
    let url = "postgresql://app@db1,db2:5433/x?target_session_attrs=read-write&pgbouncer=true"
    let file = try load(yaml: "database: {url: '\(url)', connections: 64, schema: _tasks2}")
    #expect(file.settings.database == .init(url: url, connections: 64, schema: "_tasks2"))
    let variables = try load(environment: [
      "MARTLET_DATABASE_URL": "postgres:///x", "MARTLET_DATABASE_CONNECTIONS": "1", "MARTLET_DATABASE_SCHEMA": "t",
      "MARTLET_DATABASE_DURABILITY": "relaxed",
    ])
    #expect(
      variables.settings.database == .init(url: "postgres:///x", connections: 1, schema: "t", durability: .relaxed))
    let flag = try load(flags: ["database.url": "postgres://app:hush@db/x"], yaml: "database: {connections: 9}")
    #expect(flag.settings.database.url == "postgres://app:hush@db/x")
    #expect(
      flag.describe().contains(.init(key: "database.url", value: "postgres://app:(hidden)@db/x", source: "--database")))
    let embedded = try load(yaml: "database: {url: 'sqlite:x.db', connections: 9, schema: t}")
    #expect(embedded.warnings.isEmpty, "no effect with SQLite, and no harm")
  }

  @Test("replace a list as a whole")
  func listPrecedence() throws {
    let loaded = try load(
      environment: ["MARTLET_WORKERS_QUEUES": "x"], yaml: "workers: {queues: [a, b]}")
    #expect(loaded.settings.workers.queues == ["x"])
  }

  @Test("take a variable that is set to nothing as one that is not set")
  func emptyVariable() throws {
    let loaded = try load(
      environment: ["MARTLET_SERVER_PORT": "", "MARTLET_UNHEARD_OF": " "], yaml: "server: {port: 5}")
    #expect(loaded.settings.server.port == 5)
  }

  @Test("know the short names as they stand, in environment and file")
  func aliases() throws {
    let variables = try load(environment: ["MAX_RETRIES": "9", "WORKER_CONCURRENCY": "2"])
    #expect(variables.settings.tasks.maxRetries == 9 && variables.source(of: "tasks.maxRetries") == "MAX_RETRIES")
    #expect(variables.settings.workers.concurrency == 2)
    let file = try load(yaml: "MAX_RETRIES: 8\nWORKER_CONCURRENCY: 3")
    #expect(file.settings.tasks.maxRetries == 8 && file.settings.workers.concurrency == 3)
    #expect(file.source(of: "tasks.maxRetries") == "martlet.yaml:1")
  }

  @Test("accept both names of a setting as long as they agree")
  func agreeingAliases() throws {
    let loaded = try load(environment: ["MAX_RETRIES": "9", "MARTLET_TASKS_MAX_RETRIES": "9"])
    #expect(loaded.settings.tasks.maxRetries == 9)
  }

  @Test("leave alone what belongs to the client commands and to programs under a worker")
  func clientVariables() throws {
    let names = [
      "MARTLET_SERVER", "MARTLET_API_KEY", "MARTLET_TOKEN", "MARTLET_TASK_ID", "MARTLET_TYPE", "MARTLET_ATTEMPT",
      "MARTLET_MAX_ATTEMPTS", "MARTLET_QUEUE", "MARTLET_TRACEPARENT",
    ]
    _ = try load(environment: Dictionary(uniqueKeysWithValues: names.map { ($0, "x") }))
  }

  @Test("are read from the file that a flag names rather than from the one that the environment names")
  func namedFile() throws {
    try withDirectory(["a.yaml": "server: {port: 1}", "b.yaml": "server: {port: 2}", "martlet.yaml": "oops: 1"]) {
      directory in
      let environment = ["MARTLET_CONFIG_FILE": "a.yaml"]
      let first = try Settings.load(flags: [:], environment: environment, workingDirectory: directory)
      #expect(first.settings.server.port == 1 && first.source(of: "server.port") == "a.yaml:1")
      let second = try Settings.load(
        flags: ["config.file": directory + "/b.yaml"], environment: environment, workingDirectory: directory)
      #expect(second.settings.server.port == 2 && second.source(of: "config.file") == "--config")
    }
  }

  @Test(
    "are the defaults when the file says nothing",
    arguments: ["", "# only a comment\n", "---\n", "null", "server:\n#  port: 1\n", "\u{FEFF}"])
  func emptyFile(yaml: String) throws {
    #expect(try load(yaml: yaml).settings == Settings())
  }

  @Test("are shown with value and source, every one")
  func describe() throws {
    let rows = try load(flags: ["database.url": "sqlite::memory:"], yaml: "workers: {queues: [a, b]}").describe()
    #expect(rows.map(\.key) == Setting.supported.map(\.key))
    #expect(rows.contains(.init(key: "database.url", value: "sqlite::memory:", source: "--database")))
    #expect(rows.contains(.init(key: "workers.queues", value: "a,b", source: "martlet.yaml:1")))
    #expect(rows.contains(.init(key: "network.allowPrivateTargets", value: "true", source: "default")))
    #expect(rows.contains(.init(key: "server.roles", value: "api,scheduler,worker,notifier", source: "default")))
    #expect(rows.contains(.init(key: "retention.successSeconds", value: "604800", source: "default")))
  }
}

@Suite("Wrong settings")
struct WrongSettingsTests {
  @Test("are all told at once, in the order of the table")
  func all() throws {
    let problems = try problems(
      flags: ["server.port": "http"], environment: ["MARTLET_LOG_LEVEL": "loud", "MARTLET_SERVER_PROT": "1"],
      yaml: "tasks:\n  maxRetries: 101\n  maxRetrys: 3\n")
    #expect(
      problems == [
        "MARTLET_SERVER_PROT: is not a known setting; did you mean MARTLET_SERVER_PORT?",
        "tasks.maxRetrys (martlet.yaml:3): is not a known setting; did you mean tasks.maxRetries?",
        "server.port = \"http\" (--port): must be a whole number from 0 to 65535",
        "tasks.maxRetries = \"101\" (martlet.yaml:2): must be a whole number from 0 to 100",
        "log.level = \"loud\" (MARTLET_LOG_LEVEL): must be one of trace, debug, info, notice, warning, error, critical",
      ])
  }

  @Test(
    "name value, source and what is wanted",
    arguments: [
      ("server: {port: eighty}", "server.port = \"eighty\" (martlet.yaml:1): must be a whole number from 0 to 65535"),
      ("server: {port: 65536}", "server.port = \"65536\" (martlet.yaml:1): must be a whole number from 0 to 65535"),
      ("server: {port: 80.5}", "server.port = \"80.5\" (martlet.yaml:1): must be a whole number from 0 to 65535"),
      ("server: {port: [1, 2]}", "server.port (martlet.yaml:1): must be one value, not a list"),
      ("server: {port: {a: 1}}", "server.port (martlet.yaml:1): must be a value, not a section"),
      ("server: {port: }", "server.port (martlet.yaml:1): has no value; leave the line out for the default"),
      ("server: {port: null}", "server.port (martlet.yaml:1): has no value; leave the line out for the default"),
      ("server: 5", "server (martlet.yaml:1): is a section: its settings stand beneath it"),
      ("tasks: {backoff: [1]}", "tasks.backoff (martlet.yaml:1): is a section: its settings stand beneath it"),
      (
        "server: {roles: [api, boss]}",
        "server.roles = \"api,boss\" (martlet.yaml:1): must name one or more of api, scheduler, worker, notifier"
      ),
      (
        "server: {roles: []}",
        "server.roles = \"\" (martlet.yaml:1): must name one or more of api, scheduler, worker, notifier"
      ),
      ("workers: {queues: []}", "workers.queues = \"\" (martlet.yaml:1): must name at least one queue"),
      (
        "workers: {queues: [a, '*']}",
        "workers.queues = \"a,*\" (martlet.yaml:1): names * for all queues and others besides"
      ),
      ("workers: {queues: [a, a]}", "workers.queues = \"a,a\" (martlet.yaml:1): names a twice"),
      (
        "workers: {queues: [a b]}",
        "workers.queues = \"a b\" (martlet.yaml:1): names 'a b'; a queue's name is 1–128 of A-Z a-z 0-9 . _ : -"
      ),
      ("workers: {queues: [{a: b}]}", "workers.queues (martlet.yaml:1): must be a list of plain values"),
      (
        "workers: {shutdownGraceSeconds: .inf}",
        "workers.shutdownGraceSeconds = \".inf\" (martlet.yaml:1): must be a number from 0 to 3600"
      ),
      (
        "workers: {shutdownGraceSeconds: 0x10}",
        "workers.shutdownGraceSeconds = \"0x10\" (martlet.yaml:1): must be a number from 0 to 3600"
      ),
      (
        "retention: {deadSeconds: forever}",
        "retention.deadSeconds = \"forever\" (martlet.yaml:1): must be a number from 0 to 3155760000, or never"
      ),
      (
        "network: {allowPrivateTargets: maybe}",
        "network.allowPrivateTargets = \"maybe\" (martlet.yaml:1): must be true or false"
      ),
      (
        "database: {url: 'mysql://x'}",
        "database.url = \"mysql://x\" (martlet.yaml:1): must be sqlite:PATH, sqlite::memory: or postgres://USER@HOST/DATABASE"
      ),
      (
        "database: {url: 'sqlite:'}",
        "database.url = \"sqlite:\" (martlet.yaml:1): must be sqlite:PATH, sqlite::memory: or postgres://USER@HOST/DATABASE"
      ),
      (
        "database: {url: 'sqlite://data/x.db'}",
        "database.url = \"sqlite://data/x.db\" (martlet.yaml:1): must be sqlite:PATH, sqlite::memory: or postgres://USER@HOST/DATABASE"
      ),
      (
        "database: {url: 'postgress://ann:pa55@db/x'}",
        "database.url = \"postgress://ann:(hidden)@db/x\" (martlet.yaml:1): must be sqlite:PATH, sqlite::memory: or postgres://USER@HOST/DATABASE; did you mean postgres:?"
      ),
      (
        "database: {url: 'postgres:/ann:pa55@db/x'}",
        "database.url = \"postgres:(hidden)@db/x\" (martlet.yaml:1): must be sqlite:PATH, sqlite::memory: or postgres://USER@HOST/DATABASE; there is no // after postgres:"
      ),
      (
        "database: {connections: 65}",
        "database.connections = \"65\" (martlet.yaml:1): must be a whole number from 1 to 64"
      ),
      (
        "database: {schema: Martlet}",
        "database.schema = \"Martlet\" (martlet.yaml:1): must be 1 to 63 of a-z 0-9 _, not beginning with a digit"
      ),
      (
        "database: {schema: 2nd}",
        "database.schema = \"2nd\" (martlet.yaml:1): must be 1 to 63 of a-z 0-9 _, not beginning with a digit"
      ),
      ("database: {schema: pg_martlet}", "database.schema = \"pg_martlet\" (martlet.yaml:1): is PostgreSQL's own"),
      (
        "database: {schema: information_schema}",
        "database.schema = \"information_schema\" (martlet.yaml:1): is PostgreSQL's own"
      ),
      (
        "tasks: {maxPayloadBytes: 10000000}",
        "tasks.maxPayloadBytes = \"10000000\" (martlet.yaml:1): is more than server.maxBodyBytes (8388608) lets through"
      ),
      ("config: {file: x}", "config.file (martlet.yaml:1): cannot be set inside the file itself"),
      (
        "config: {ssm.path: martlet}",
        "config.ssm.path = \"martlet\" (martlet.yaml:1): must begin with / and have only A-Z a-z 0-9 . - _ / in it"
      ),
      (
        "redis: {url: 'http://x'}",
        "redis.url = (hidden) (martlet.yaml:1): the Redis URL must begin with redis:// or rediss://"
      ),
      (
        "redis: {url: 'redis://:hush/x@y'}",
        "redis.url = (hidden) (martlet.yaml:1): the Redis URL must have / ? # @ in user, password and path written as %2F %3F %23 %40"
      ),
      (
        "auth: {jwt: {secret: hush}}",
        "auth.jwt.secret = (hidden) (martlet.yaml:1): must have 32 bytes or more, as HS256 asks for (RFC 7518 §3.2)"
      ),
      (
        "auth: {jwt: {secert: hush}}",
        "auth.jwt.secert (martlet.yaml:1): is not a known setting; did you mean auth.jwt.secret?"
      ),
      ("servr: {port: 80}", "servr (martlet.yaml:1): is not a known setting; did you mean server?"),
      ("port: 80", "port (martlet.yaml:1): is not a known setting; did you mean server.port?"),
      ("nonsense: {a: {b: 1}}", "nonsense (martlet.yaml:1): is not a known setting"),
      ("1: 2", "1 (martlet.yaml:1): is not a known setting"),
      ("[a]: 2", "martlet.yaml:1: the name of a setting must be a text"),
      ("- a", "martlet.yaml:1: must be settings, such as `server:` with `port: 8080` beneath"),
      ("hello", "martlet.yaml:1: must be settings, such as `server:` with `port: 8080` beneath"),
    ])
  func inTheFile(yaml: String, problem: String) throws {
    #expect(try problems(yaml: yaml) == [problem])
  }

  @Test("are refused in the environment too, by name")
  func inTheEnvironment() throws {
    #expect(
      try problems(environment: ["MARTLET_CONFIG_SSM_PATH": "x", "MARTLET_AUTH_BOOTSTRAP_KEY": "hush"]) == [
        "auth.bootstrapKey = (hidden) (MARTLET_AUTH_BOOTSTRAP_KEY): must have 32 to 512 visible ASCII characters and no spaces",
        "config.ssm.path = \"x\" (MARTLET_CONFIG_SSM_PATH): must begin with / and have only A-Z a-z 0-9 . - _ / in it",
      ])
    #expect(
      try problems(environment: ["MARTLET_PORT": "80"])[0]
        .hasPrefix("MARTLET_PORT: is not a known setting; did you mean MARTLET_SERVER_PORT?"))
  }

  @Test("point at Kubernetes where it has made variables of its own")
  func serviceLinks() throws {
    let problem = try problems(environment: ["MARTLET_SERVICE_HOST": "10.0.0.1"])[0]
    #expect(problem.contains("enableServiceLinks: false"))
  }

  @Test("are told when both names of a setting say different things")
  func disagreeingAliases() throws {
    #expect(
      try problems(environment: ["MAX_RETRIES": "9", "MARTLET_TASKS_MAX_RETRIES": "8"]) == [
        "tasks.maxRetries = \"9\" (MAX_RETRIES): differs from \"8\" in MARTLET_TASKS_MAX_RETRIES; give one of them"
      ])
    #expect(
      try problems(yaml: "tasks: {maxRetries: 1}\nMAX_RETRIES: 2") == [
        "tasks.maxRetries = \"2\" (martlet.yaml:2): differs from \"1\" in martlet.yaml:1; give one of them"
      ])
  }

  @Test(
    "include a host that others could reach, with the code auth",
    arguments: ["0.0.0.0", "::", "10.1.2.3", "example.com"])
  func publicHost(host: String) throws {
    let error = #expect(throws: SettingsError.self) { try load(flags: ["server.host": host]) }
    let problem = try #require(error?.problems.first)
    #expect(error?.problems.count == 1)
    #expect(problem.key == "server.host" && problem.code == "auth" && problem.source == "--host")
    #expect(
      problem.detail.contains("there is no auth: set auth.jwt.secret, auth.jwt.jwks, auth.apiKeys or auth.bootstrapKey")
    )
  }

  @Test("do not include the loopback's names", arguments: ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
  func loopbackHost(host: String) throws {
    #expect(try load(flags: ["server.host": host]).settings.server.host == host)
  }

  @Test("are told on one line, whatever is in them")
  func oneLine() throws {
    let problem = try problems(flags: ["server.port": "8\n0\u{1B}[31m" + String(repeating: "x", count: 500)])[0]
    #expect(!problem.contains("\n") && !problem.contains("\u{1B}") && problem.count < 250)
  }

  @Test("are told without the value where it is a secret")
  func secrets() {
    let secret = Setting("a.b", .withoutEffect, isSecret: true, "")
    #expect(secret.shown(.text("hush")) == "(hidden)")
    let url = Setting("a.b", .withoutEffect, "")
    #expect(url.shown(.text("redis://:hush@x:1/0?a=b@c")) == "\"redis://:(hidden)@x:1/0?a=b@c\"")
    #expect(url.shown(.text("amqp://ann:a:b@c@host/x")) == "\"amqp://ann:(hidden)@host/x\"")
    #expect(url.shown(.text("http://x/?a=b:c@d")) == "\"http://x/?a=b:c@d\"")
    #expect(url.shown(.text("sqlite:/home/ann:b@c/x.db")) == "\"sqlite:/home/ann:b@c/x.db\"")
  }

  @Test(
    "are told without a password, wherever and however badly it stands in a URL",
    arguments: [
      "postgres://app:hush@db:5432/x", "postgres://app:a@hush@db/x", "postgres://app:a/hush@db/x",
      "postgres://app:a?hush@db/x", "postgres://app:a#hush@db/x", "postgres://app:12/hush@db/x", "postgres:app:hush@db",
      "postgres//app:hush@db/x", "postgres://db/x?user=app&password=hush", "postgres:///x?PassWord=hush&host=db",
      "postgres://db/x?sslmode=require&sslpassword=hush", "postgres://db/x?p%61ssword=hush", "app:hush@db",
    ])
  func passwords(url: String) throws {
    #expect(!Setting.printable(url).contains("hush"))
    #expect(Setting.printable(url).contains("(hidden)"))
    for problem in try problems(flags: ["database.url": url, "server.port": "x"]) { #expect(!problem.contains("hush")) }
    var database = Settings.Database(url: url)
    if let location = try? DatabaseLocation(database) { #expect(!location.shown.contains("hush")) }
    database.url = "x" + url
    let error = #expect(throws: StoreError.self) { try DatabaseLocation(database) }
    #expect(error?.message.contains("hush") == false)
  }

  @Test("made by hand are found by the same rules")
  func byHand() throws {
    var settings = Settings()
    settings.server.host = "0.0.0.0"
    settings.workers.concurrency = 0
    settings.tasks.timeoutSeconds = .nan
    settings.retention.deadSeconds = -1
    let error = #expect(throws: SettingsError.self) { try settings.check() }
    #expect(
      error?.problems.map(\.key) == [
        "server.host", "workers.concurrency", "tasks.timeoutSeconds", "retention.deadSeconds",
      ])
    #expect(
      error?.problems[1].description
        == "workers.concurrency = \"0\" (Settings): must be a whole number from 1 to 10000")
  }

  @Test("are not what other programs keep in the environment")
  func otherPrograms() throws {
    #expect(try problems(environment: ["HOME": "/root", "XMARTLET_A": "1", "MARTLETS": "2"]).isEmpty)
  }
}

@Suite("A wrong configuration file")
struct WrongFileTests {
  @Test("that is named must exist")
  func missing() throws {
    #expect(
      try problems(flags: ["config.file": "nowhere.yaml"])
        == ["config.file = \"nowhere.yaml\" (--config): there is no such file"])
    #expect(
      try problems(environment: ["MARTLET_CONFIG_FILE": "nowhere.yaml"])
        == ["config.file = \"nowhere.yaml\" (MARTLET_CONFIG_FILE): there is no such file"])
  }

  @Test("that is a directory is told to be one")
  func directory() throws {
    #expect(
      try problems(flags: ["config.file": "/tmp"]) == ["config.file = \"/tmp\" (--config): is a directory, not a file"])
  }

  @Test("that cannot be read says why")
  func unreadable() throws {
    let problem = try problems(flags: ["config.file": "/proc/self/mem"])[0]
    #expect(problem.hasPrefix("config.file = \"/proc/self/mem\" (--config): cannot be read: "))
  }

  @Test("that never ends is not read to its end")
  func endless() throws {
    #expect(
      try problems(flags: ["config.file": "/dev/zero"]) == [
        "config.file = \"/dev/zero\" (--config): is larger than 1 MiB"
      ])
  }

  @Test("that is not text is told to be none")
  func binary() throws {
    try withDirectory { directory in
      try Data([0xFF, 0xFE, 0x00]).write(to: URL(fileURLWithPath: directory + "/martlet.yaml"))
      let error = #expect(throws: SettingsError.self) {
        try Settings.load(flags: [:], environment: [:], workingDirectory: directory)
      }
      #expect(error?.description == "martlet.yaml: is not UTF-8 text")
    }
  }

  @Test(
    "with a fault in its syntax is told with the line",
    arguments: [
      ("server:\n  port: 1\n bad", 3), ("a: [1, 2", 2), ("a: 'x", 1), ("\ta: 1", 1), ("a: 1\n---\nb: 2", 2),
      ("server:\n  port: 1\n  port: 2", 2), ("a: b: c", 1), ("a: *nobody", 1), ("x: \u{1}", 0),
    ])
  func syntax(yaml: String, line: Int) throws {
    let problems = try problems(yaml: yaml)
    let place = line > 0 ? "martlet.yaml:\(line): " : "martlet.yaml: "
    #expect(problems.count == 1)
    #expect(problems[0].hasPrefix(place + "is not valid YAML: "), "\(problems)")
    #expect(!problems[0].contains("\n"))
  }

  @Test("with a fault in its syntax hides no problem of the other sources")
  func syntaxAndMore() throws {
    #expect(try problems(environment: ["MARTLET_SERVER_PORT": "x"], yaml: "a: [").count == 2)
  }

  @Test("nested without end is refused and ends nothing but itself")
  func depth() throws {
    #expect(try problems(yaml: "a: " + String(repeating: "[", count: 200_000)).count == 1)
    #expect(try problems(yaml: String(repeating: "- ", count: 200_000)).count == 1)
  }

  @Test("with an alias is read as what the alias stands for")
  func alias() throws {
    #expect(try load(yaml: "server: {port: &p 77}\nworkers: {concurrency: *p}").settings.workers.concurrency == 77)
  }
}

@Suite("The page on configuration")
struct SettingsDocumentTests {
  @Test("has the table of settings as the code has it")
  func inStep() throws {
    let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../docs/configuration.md")
    let text = try String(contentsOf: page, encoding: .utf8)
    #expect(text.contains(Setting.documentation), "put this into docs/configuration.md:\n\(Setting.documentation)")
  }

  @Test("names each setting once, with its variable")
  func names() {
    #expect(Set(Setting.supported.map(\.key)).count == Setting.supported.count)
    #expect(Set(Setting.supported.map(\.environmentName)).count == Setting.supported.count)
    for setting in Setting.supported {
      #expect(Setting.documentation.contains("`\(setting.key)`"))
      #expect(Setting.documentation.contains("`\(setting.environmentName)`"))
      #expect(setting.summary.hasSuffix("."))
    }
  }

  @Test("spells a variable with an underscore for each dot and each hump")
  func environmentNames() {
    let names = Dictionary(uniqueKeysWithValues: Setting.supported.map { ($0.key, $0.environmentName) })
    #expect(names["server.maxBodyBytes"] == "MARTLET_SERVER_MAX_BODY_BYTES")
    #expect(names["tasks.backoff.baseSeconds"] == "MARTLET_TASKS_BACKOFF_BASE_SECONDS")
    #expect(names["network.allowPrivateTargets"] == "MARTLET_NETWORK_ALLOW_PRIVATE_TARGETS")
  }
}
