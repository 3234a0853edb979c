// Every decision an installation can make. A running server asks again for those that can change while it runs (`LiveSettings`). `martlet serve` gets them from
// `Settings.load`; an embedder may fill them in by hand and pass them to `MartletServer`.

public import Logging
public import MartletCore

/// How a server behaves. The names are those of the configuration: `server.port` is `settings.server.port`.
public struct Settings: Sendable, Hashable {
  /// What listens, and what this process does.
  public var server: Server
  /// Where tasks are kept.
  public var database: Database
  /// What may stand beside the database.
  public var redis: Redis
  /// The worker inside this process.
  public var workers: Workers
  /// What fills the fields that a submission leaves out.
  public var tasks: Tasks
  /// How long final tasks are kept.
  public var retention: Retention
  /// How long repeated submissions are known.
  public var idempotency: Idempotency
  /// Where handlers may call.
  public var network: Network
  /// By what callers are known.
  public var auth: Auth
  /// How often each of them may call.
  public var rateLimit: RateLimit
  /// Who is told what happens to tasks.
  public var events: Events
  /// How people are told.
  public var notifications: Notifications
  /// What is told of the server's work.
  public var telemetry: Telemetry
  /// The server's own log.
  public var log: Log
  /// Where these settings come from.
  public var config: Config

  /// Everything has a default: one node on this machine, with a SQLite file in the working directory.
  public init(
    server: Server = Server(), database: Database = Database(), redis: Redis = Redis(), workers: Workers = Workers(),
    tasks: Tasks = Tasks(),
    retention: Retention = Retention(), idempotency: Idempotency = Idempotency(), network: Network = Network(),
    auth: Auth = Auth(), rateLimit: RateLimit = RateLimit(), events: Events = Events(),
    notifications: Notifications = Notifications(), telemetry: Telemetry = Telemetry(), log: Log = Log(),
    config: Config = Config()
  ) {
    self.server = server
    self.database = database
    self.redis = redis
    self.workers = workers
    self.tasks = tasks
    self.retention = retention
    self.idempotency = idempotency
    self.network = network
    self.auth = auth
    self.rateLimit = rateLimit
    self.events = events
    self.notifications = notifications
    self.telemetry = telemetry
    self.log = log
    self.config = config
  }

  /// What listens, and what this process does.
  public struct Server: Sendable, Hashable {
    /// The address to listen on. Without `auth` only a loopback address (127.0.0.1, ::1) or `localhost`.
    public var host: String
    /// 0 takes any free one.
    public var port: Int
    /// Requests with a larger body are answered 413.
    public var maxBodyBytes: Int
    /// The duties of this node; all of them unless told otherwise.
    public var roles: Set<Role>
    /// Encryption.
    public var tls: TLS

    public init(
      host: String = "127.0.0.1", port: Int = 8080, maxBodyBytes: Int = 8 * 1024 * 1024,
      roles: Set<Role> = Set(Role.allCases), tls: TLS = TLS()
    ) {
      self.host = host
      self.port = port
      self.maxBodyBytes = maxBodyBytes
      self.roles = roles
      self.tls = tls
    }
  }

  /// A duty that a node can take on.
  public enum Role: String, CaseIterable, Sendable, Hashable {
    /// Answers HTTP.
    case api
    /// Moves what is due, rescues what was lost, deletes what is old.
    case scheduler
    /// Carries out tasks.
    case worker
    /// Tells brokers what happens.
    case notifier
  }

  /// Where tasks are kept.
  public struct Database: Sendable, Hashable {
    /// `sqlite:PATH`, relative to the working directory, `sqlite::memory:`, or `postgres://USER@HOST/DATABASE`, as libpq
    /// reads it.
    public var url: String
    /// How many connections this node has to PostgreSQL, besides the one that listens. SQLite takes no notice of it.
    public var connections: Int
    /// Where in a PostgreSQL database the tables are, so that several installations can share it. SQLite takes no notice of it.
    public var schema: String
    /// What an accepted task survives.
    public var durability: Durability

    public init(
      url: String = "sqlite:martlet.db", connections: Int = 4, schema: String = "martlet",
      durability: Durability = .strict
    ) {
      self.url = url
      self.connections = connections
      self.schema = schema
      self.durability = durability
    }
  }

  /// What an accepted task survives.
  public enum Durability: String, CaseIterable, Sendable, Hashable {
    /// A power cut: nothing is acknowledged before it is on disk.
    case strict
    /// The end of the process, but the last moments may be lost with the machine. Faster.
    case relaxed
  }

  /// The worker inside this process.
  public struct Workers: Sendable, Hashable {
    /// Attempts that run at once.
    public var concurrency: Int
    /// The queues it takes tasks from; `*` stands for all.
    public var queues: [String]
    /// How long running attempts may go on when the process is asked to stop; then they are given back.
    public var shutdownGraceSeconds: Double

    public init(concurrency: Int = 32, queues: [String] = ["*"], shutdownGraceSeconds: Double = 25) {
      self.concurrency = concurrency
      self.queues = queues
      self.shutdownGraceSeconds = shutdownGraceSeconds
    }
  }

  /// What fills the fields that a submission leaves out, and how large its payload may be.
  public struct Tasks: Sendable, Hashable {
    /// Retries after the first attempt.
    public var maxRetries: Int
    /// Bounds one attempt.
    public var timeoutSeconds: Double
    /// How long a silent worker keeps a task.
    public var leaseSeconds: Double
    /// Tasks with a larger payload are answered 413.
    public var maxPayloadBytes: Int
    /// The waits between attempts.
    public var backoff: RetryPolicy

    public init(
      maxRetries: Int = 3, timeoutSeconds: Double = 300, leaseSeconds: Double = 30, maxPayloadBytes: Int = 256 * 1024,
      backoff: RetryPolicy = RetryPolicy()
    ) {
      self.maxRetries = maxRetries
      self.timeoutSeconds = timeoutSeconds
      self.leaseSeconds = leaseSeconds
      self.maxPayloadBytes = maxPayloadBytes
      self.backoff = backoff
    }
  }

  /// How long final tasks are kept; nil is for ever.
  public struct Retention: Sendable, Hashable {
    /// Those that succeeded.
    public var successSeconds: Double?
    /// Dead letters.
    public var deadSeconds: Double?
    /// Those that were cancelled, expired or lost a dependency.
    public var cancelledSeconds: Double?

    public init(
      successSeconds: Double? = 7 * 86_400, deadSeconds: Double? = 90 * 86_400, cancelledSeconds: Double? = 30 * 86_400
    ) {
      self.successSeconds = successSeconds
      self.deadSeconds = deadSeconds
      self.cancelledSeconds = cancelledSeconds
    }
  }

  /// How long repeated submissions are known.
  public struct Idempotency: Sendable, Hashable {
    /// At least; a key lives as long as its task.
    public var retentionSeconds: Double

    public init(retentionSeconds: Double = 86_400) {
      self.retentionSeconds = retentionSeconds
    }
  }

  /// Where handlers may call.
  public struct Network: Sendable, Hashable {
    /// Whether outgoing calls may go to loopback, private, link-local and metadata addresses. Nil allows it only while the
    /// node itself takes tasks (role `api`), on loopback and without `auth`.
    public var allowPrivateTargets: Bool?

    public init(allowPrivateTargets: Bool? = nil) {
      self.allowPrivateTargets = allowPrivateTargets
    }
  }

  /// The server's own log.
  public struct Log: Sendable, Hashable {
    /// Less important lines are left out.
    public var level: Logger.Level
    /// How a line looks.
    public var format: LogFormat

    public init(level: Logger.Level = .info, format: LogFormat = .text) {
      self.level = level
      self.format = format
    }
  }

  /// Where these settings come from, besides flags and environment.
  public struct Config: Sendable, Hashable {
    /// How often a running server reads them again; 0 only when it is told to, by SIGHUP.
    public var reloadSeconds: Double
    /// AWS Systems Manager Parameter Store.
    public var ssm: SSM

    public init(reloadSeconds: Double = 10, ssm: SSM = SSM()) {
      self.reloadSeconds = reloadSeconds
      self.ssm = ssm
    }
  }

  /// Settings from AWS Systems Manager Parameter Store.
  public struct SSM: Sendable, Hashable {
    /// Everything beneath is read: `/prod/martlet`. Nil turns it off.
    public var path: String?
    /// Nil is that of the environment: `AWS_REGION`, `AWS_DEFAULT_REGION`.
    public var region: String?
    /// Nil is AWS' own of the region.
    public var endpoint: String?

    public init(path: String? = nil, region: String? = nil, endpoint: String? = nil) {
      self.path = path
      self.region = region
      self.endpoint = endpoint
    }
  }

  /// How a line of the log looks.
  public enum LogFormat: String, CaseIterable, Sendable, Hashable {
    /// For people.
    case text
    /// One JSON object a line.
    case json
  }
}

// MARK: - What the rest of the server reads

extension Settings {
  /// A node without the role `api` listens for nobody, so that its address says nothing of who submits: its tasks come from
  /// nodes elsewhere.
  package var privateTargetsAreAllowed: Bool {
    network.allowPrivateTargets ?? (server.roles.contains(.api) && server.isOnLoopback && !auth.isConfigured)
  }
}

extension Settings.Server {
  package var isOnLoopback: Bool {
    host.lowercased() == "localhost" || IPAddress(host)?.isLoopback == true
  }
}

extension Settings.Tasks {
  package var defaults: TaskDefaults {
    var defaults = TaskDefaults()
    defaults.retries = maxRetries
    defaults.timeout = .seconds(timeoutSeconds)
    defaults.lease = .seconds(leaseSeconds)
    defaults.backoff = backoff
    defaults.maxPayloadBytes = maxPayloadBytes
    return defaults
  }
}

extension Settings.Retention {
  package var policy: RetentionPolicy {
    RetentionPolicy(
      success: successSeconds.map { .seconds($0) }, dead: deadSeconds.map { .seconds($0) },
      cancelled: cancelledSeconds.map { .seconds($0) })
  }
}
