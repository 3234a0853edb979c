// The one table of settings. Loading, validation, `config show` and docs/configuration.md are all made from it; a new setting
// is a field of `Settings` and a line here.

internal import Logging
internal import MartletCore

extension Setting {
  /// What this version can do, in the order in which it is shown.
  package static let supported = basic.with(tls, after: "server.roles").with(
    access + telemetry + events + notices + mail, after: "network.allowPrivateTargets")

  private static let basic: [Setting] = [
    Setting(
      "server.host", \.server.host, .text("address", complaint: hostComplaint), flag: "--host",
      needsRestart: true, "Address to listen on. Without `auth` only a loopback address or `localhost`."),
    Setting(
      "server.port", \.server.port, .whole(0...65_535), flag: "--port", needsRestart: true,
      "Port to listen on; 0 takes any free one."),
    Setting(
      "server.maxBodyBytes", \.server.maxBodyBytes, .whole(1024...1_073_741_824, unit: "bytes"), needsRestart: true,
      "Largest request body; a larger one is answered 413."),
    Setting(
      "server.roles", \.server.roles, .choices(), flag: "--roles", needsRestart: true,
      "Duties of this node."),
    Setting(
      "database.url", \.database.url,
      .text("`sqlite:PATH`, `sqlite::memory:` or `postgres://USER@HOST/DATABASE`", complaint: databaseComplaint),
      flag: "--database", needsRestart: true,
      "Where tasks are kept. A relative path starts at the working directory."),
    Setting(
      "database.connections", \.database.connections, .whole(1...64), needsRestart: true,
      "Connections of this node to PostgreSQL, besides the one that listens. No effect with SQLite."),
    Setting(
      "database.schema", \.database.schema, .text("name of `a-z 0-9 _`", complaint: schemaComplaint),
      needsRestart: true,
      "Schema of the tables in a PostgreSQL database, one for each installation. No effect with SQLite."),
    Setting(
      "database.durability", \.database.durability, .choice, flag: "--durability", needsRestart: true,
      "`strict`: what was acknowledged survives a power cut; a PostgreSQL server that cannot promise it is refused. `relaxed`: faster, and a power cut may cost the last moments."
    ),
    Setting(
      "redis.url", \.redis.url, .optionalText("`redis://…` or `rediss://…`"), isSecret: true, needsRestart: true,
      "A Redis that all nodes share: dispatch without polling the database, shortcuts for repeated submissions, shared limits. Without it, off."
    ),
    Setting(
      "workers.concurrency", \.workers.concurrency, .whole(1...10_000), alias: "WORKER_CONCURRENCY",
      "Attempts that run at once on this node."),
    Setting(
      "workers.queues", \.workers.queues, .list("list of queue names", complaint: queuesComplaint), needsRestart: true,
      "Queues that this node's worker takes tasks from; `*` is all of them."),
    Setting(
      "workers.shutdownGraceSeconds", \.workers.shutdownGraceSeconds, .number(0...3600, unit: "seconds"),
      "How long running attempts may go on after SIGTERM; then they are given back without cost."),
    Setting(
      "tasks.maxRetries", \.tasks.maxRetries, .whole(0...100), alias: "MAX_RETRIES",
      "Retries after the first attempt, where a task does not say."),
    Setting(
      "tasks.timeoutSeconds", \.tasks.timeoutSeconds, .number(0.001...604_800, unit: "seconds"),
      "Longest duration of one attempt, where a task does not say."),
    Setting(
      "tasks.leaseSeconds", \.tasks.leaseSeconds, .number(1...3600, unit: "seconds"),
      "How long a silent worker keeps a task, where the task does not say."),
    Setting(
      "tasks.maxPayloadBytes", \.tasks.maxPayloadBytes, .whole(1...67_108_864, unit: "bytes"),
      "Largest payload of a task; a larger one is answered 413."),
    Setting(
      "tasks.backoff.strategy", \.tasks.backoff.strategy, .choice,
      "How waits between attempts grow, where a task does not say."),
    Setting(
      "tasks.backoff.baseSeconds", \.tasks.backoff.baseSeconds, .number(0...Limits.farthestSeconds, unit: "seconds"),
      "First wait."),
    Setting(
      "tasks.backoff.factor", \.tasks.backoff.factor, .number(1...1000),
      "Each exponential wait is this many times the one before."),
    Setting(
      "tasks.backoff.maxSeconds", \.tasks.backoff.maxSeconds, .number(0...Limits.farthestSeconds, unit: "seconds"),
      "No wait is longer."),
    Setting(
      "tasks.backoff.jitter", \.tasks.backoff.jitter, .number(0...1),
      "Share of a wait that is random: 0.2 makes it 80 % to 100 % of its length."),
    Setting(
      "retention.successSeconds", \.retention.successSeconds, .retention,
      "How long tasks that succeeded are kept."),
    Setting(
      "retention.deadSeconds", \.retention.deadSeconds, .retention, "How long dead letters are kept."),
    Setting(
      "retention.cancelledSeconds", \.retention.cancelledSeconds, .retention,
      "How long cancelled tasks are kept."),
    Setting(
      "idempotency.retentionSeconds", \.idempotency.retentionSeconds,
      .number(0...Limits.farthestSeconds, unit: "seconds"),
      "How long an idempotency key is known at least; it lives as long as its task."),
    Setting(
      "network.allowPrivateTargets", \.network.allowPrivateTargets, .yesOrNo,
      show: { String($0.privateTargetsAreAllowed) },
      "Whether handlers may call private addresses. By default only on a node with the role `api` that listens on loopback without `auth`."
    ),
    Setting("log.level", \.log.level, .choice, "Least important level that is logged."),
    Setting("log.format", \.log.format, .choice, needsRestart: true, "`json` writes one object a line."),
    Setting(
      fileKey, .full, defaultValue: "", flag: "--config",
      "The configuration file; `martlet.yaml` in the working directory is read if it is there. Not in the file itself."),
    Setting(
      "config.reloadSeconds", \.config.reloadSeconds, .number(0...86_400, unit: "seconds"),
      "How often a running server reads the configuration again; with 0 only on SIGHUP."),
    Setting(
      "config.ssm.path", \.config.ssm.path, .optionalText("path, such as `/prod/martlet`"), needsRestart: true,
      "AWS SSM Parameter Store: every parameter beneath is a setting. Without it, off."),
    Setting(
      "config.ssm.region", \.config.ssm.region, .optionalText("name of a region"), needsRestart: true,
      "Its region; by default that of `AWS_REGION` or `AWS_DEFAULT_REGION`."),
    Setting(
      "config.ssm.endpoint", \.config.ssm.endpoint, .optionalText("`https://…`"), needsRestart: true,
      "Where to ask instead of AWS' own address."),
  ]

  static let fileKey = "config.file"

  static let byKey = Dictionary(uniqueKeysWithValues: supported.map { ($0.key, $0) })
  static let byEnvironmentName = Dictionary(uniqueKeysWithValues: supported.map { ($0.environmentName, $0) })
  static let byAlias = Dictionary(
    uniqueKeysWithValues: supported.compactMap { setting in setting.alias.map { ($0, setting) } })
}

extension [Setting] {
  fileprivate func with(_ others: [Setting], after key: String) -> [Setting] {
    flatMap { $0.key == key ? [$0] + others : [$0] }
  }
}

extension Form<Double?> {
  fileprivate static let retention = number(0...Limits.farthestSeconds, unit: "seconds", orWord: "never")
}

extension Settings {
  /// What no setting can say by itself.
  static func crossComplaints(_ settings: Settings) -> [(key: String, Complaint)] {
    var complaints: [(key: String, Complaint)] = []
    if settings.tasks.maxPayloadBytes > settings.server.maxBodyBytes {
      complaints.append(
        ("tasks.maxPayloadBytes", "is more than server.maxBodyBytes (\(settings.server.maxBodyBytes)) lets through"))
    }
    return complaints + accessComplaints(settings) + eventComplaints(settings)
      + mailComplaints(settings) + noticeComplaints(settings) + redisComplaints(settings)
      + telemetryComplaints(settings) + sourceComplaints(settings)
  }
}

@Sendable private func hostComplaint(_ host: String) -> Complaint? {
  host.isEmpty ? "must not be empty" : nil
}

@Sendable private func databaseComplaint(_ url: String) -> Complaint? {
  let forms = "must be sqlite:PATH, sqlite::memory: or postgres://USER@HOST/DATABASE"
  let scheme = String(url.prefix { $0 != ":" })
  switch scheme {
  case "sqlite":
    let path = url.dropFirst("sqlite:".count)
    // `sqlite://data/x.db` reads like a relative path and would mean `/data/x.db`.
    let isMisleading = path.hasPrefix("//") && !path.hasPrefix("///")
    return path.isEmpty || isMisleading ? Complaint(forms) : nil
  case "postgres", "postgresql":
    return url.hasPrefix(scheme + "://") ? nil : Complaint(forms + "; there is no // after \(scheme):")
  default:
    let nearest = nearestName(to: scheme.lowercased(), among: ["sqlite", "postgres", "postgresql"])
    return Complaint(forms + (nearest.map { "; did you mean \($0):?" } ?? ""))
  }
}

@Sendable private func schemaComplaint(_ name: String) -> Complaint? {
  let isName =
    (1...63).contains(name.utf8.count) && name.utf8.first.map { !(0x30...0x39).contains($0) } == true
    && name.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_") }
  if !isName { return "must be 1 to 63 of a-z 0-9 _, not beginning with a digit" }
  return name.hasPrefix("pg_") || name == "information_schema" ? "is PostgreSQL's own" : nil
}

@Sendable private func queuesComplaint(_ queues: [String]) -> Complaint? {
  if queues.isEmpty { return "must name at least one queue" }
  if queues.contains("*"), queues.count > 1 { return "names * for all queues and others besides" }
  if let wrong = queues.first(where: { !Limits.isName($0) && $0 != "*" }) {
    return "names '\(Setting.printable(wrong))'; a queue's name is 1–128 of A-Z a-z 0-9 . _ : -"
  }
  let twice = Dictionary(grouping: queues) { $0 }.filter { $0.value.count > 1 }.keys.min()
  return twice.map { "names \($0) twice" }
}
