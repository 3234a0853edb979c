// Every metric of the project, in one place: its name as Prometheus sees it, what it is told by, and the sentence that explains it.
// Whatever measures makes its metrics by these; `PrometheusRegistry` takes its HELP lines from here, and the table of
// docs/operations/metrics.md is tested against it.

package struct MetricName: Sendable, Hashable {
  package enum Kind: String, Sendable { case counter, gauge, histogram }

  package let text: String
  package let kind: Kind
  /// By name.
  package let labels: [String]
  package let help: String

  private init(_ text: String, _ kind: Kind, by labels: [String] = [], _ help: String) {
    self.text = text
    self.kind = kind
    self.labels = labels
    self.help = help
  }

  // MARK: Tasks

  private static let lane = ["queue", "type"]

  package static let tasksSubmitted = MetricName(
    "martlet_tasks_submitted_total", .counter, by: lane, "Tasks accepted and stored.")
  package static let attemptsStarted = MetricName(
    "martlet_attempts_started_total", .counter, by: lane, "Attempts that began.")
  package static let attempts = MetricName(
    "martlet_attempts_total", .counter, by: ["outcome"] + lane, "Attempts that ended, by outcome.")
  package static let retries = MetricName(
    "martlet_retries_total", .counter, by: lane, "Attempts that failed with a further one to come.")
  package static let deadLetters = MetricName(
    "martlet_dead_letters_total", .counter, by: lane, "Tasks that ended DEAD.")
  package static let leasesLost = MetricName(
    "martlet_leases_lost_total", .counter, by: lane,
    "Attempts of this node whose lease was lost before their end was reported.")
  package static let taskRun = MetricName(
    "martlet_task_run_seconds", .histogram, by: lane, "How long attempts ran.")
  package static let taskWait = MetricName(
    "martlet_task_wait_seconds", .histogram, by: lane, "How long tasks were READY before an attempt began.")

  // MARK: What there is now, of all nodes: each tells the same

  package static let queueTasks = MetricName(
    "martlet_queue_tasks", .gauge, by: ["queue", "status"], "Tasks stored now, by status.")
  package static let queueOldestReady = MetricName(
    "martlet_queue_oldest_ready_seconds", .gauge, by: ["queue"],
    "How long the oldest READY task has waited; 0 when none is READY.")
  package static let tasksWithoutWorker = MetricName(
    "martlet_tasks_without_worker", .gauge, by: lane, "READY tasks that no live worker takes.")
  package static let workers = MetricName("martlet_workers", .gauge, "Live workers that the store knows.")
  package static let outboxEvents = MetricName(
    "martlet_outbox_events", .gauge, by: ["sink"],
    "Transitions that a sink has not been told of yet; 10000 stands for that many or more.")
  package static let outboxOldest = MetricName(
    "martlet_outbox_oldest_seconds", .gauge, by: ["sink"], "How long the oldest of them has waited; 0 when none waits.")
  package static let noticesWaiting = MetricName(
    "martlet_notices_waiting", .gauge, "Notices that are not delivered yet; 10000 stands for that many or more.")
  package static let noticesOldest = MetricName(
    "martlet_notices_oldest_seconds", .gauge, "How long the oldest of them has waited; 0 when none waits.")

  // MARK: The worker of this node

  package static let leases = MetricName("martlet_leases", .gauge, "Leases held by the worker of this node.")
  package static let workerSlots = MetricName(
    "martlet_worker_slots", .gauge, "Attempts that the worker of this node may run at once.")
  package static let workerBusy = MetricName(
    "martlet_worker_busy", .gauge, "Attempts that the worker of this node runs now.")

  // MARK: Who is told

  package static let eventsDelivered = MetricName(
    "martlet_events_delivered_total", .counter, by: ["sink"], "Events that this node has delivered to a sink.")
  package static let sinkUp = MetricName(
    "martlet_sink_up", .gauge, by: ["sink"], "0 while this node's deliveries to a sink fail, else 1.")
  package static let sinkDelivering = MetricName(
    "martlet_sink_delivering", .gauge, by: ["sink"], "1 on the node that delivers to a sink, 0 on those that stand by.")
  package static let noticeDeliveries = MetricName(
    "martlet_notice_deliveries_total", .counter, by: ["channel", "outcome"],
    "Deliveries of notices that this node has tried: delivered, failed, dead.")
  package static let noticeChannelUp = MetricName(
    "martlet_notice_channel_up", .gauge, by: ["channel"],
    "0 while one delivery of this node after the other fails, whatever the receiver, else 1.")

  // MARK: Redis, where there is one

  package static let redisUp = MetricName("martlet_redis_up", .gauge, "1 while this node can use Redis, else 0.")
  package static let dispatched = MetricName(
    "martlet_dispatched_total", .counter, by: ["result"],
    "Tasks that Redis has named to this node's claims: claimed, or refused by the store.")
  package static let dispatchFallbacks = MetricName(
    "martlet_dispatch_fallbacks_total", .counter, "Claims for which Redis could not be asked, so that the store was.")

  // MARK: The configuration

  /// `applied`, `refused`, or `failed` where a source could not be asked.
  package static let configReloads = MetricName(
    "martlet_config_reloads_total", .counter, by: ["result"],
    "Changed configurations that this node met, by what became of them: applied, refused, failed.")
  package static let configGood = MetricName(
    "martlet_config_good", .gauge, "1 while the configuration as it stands now is the one in force, else 0.")
  package static let configRevision = MetricName(
    "martlet_config_revision", .gauge,
    "The revision of the fleet's overrides that is in force on this node; 0 where there is none.")

  // MARK: The edges

  package static let httpRequests = MetricName(
    "martlet_http_requests_total", .counter, by: ["method", "route", "status"], "HTTP requests answered.")
  package static let httpRequest = MetricName(
    "martlet_http_request_seconds", .histogram, by: ["method", "route"], "How long HTTP requests took.")
  package static let storeUp = MetricName(
    "martlet_store_up", .gauge,
    "1 if the store could commit at this scrape and gave its counts, else 0; then these are old.")
  package static let store = MetricName(
    "martlet_store_seconds", .histogram, by: ["operation"], "How long calls of the store took, commit included.")
  package static let storeErrors = MetricName(
    "martlet_store_errors_total", .counter, by: ["operation"], "Calls of the store that failed.")
  package static let storeBatch = MetricName(
    "martlet_store_batch_size", .histogram, by: ["operation"],
    "Items that shared one call of the store: submissions, claims, renewals, reports, reads.")

  // MARK: The process

  package static let build = MetricName(
    "martlet_build_info", .gauge, by: ["version"], "Always 1; the label tells the version.")
  package static let processCPU = MetricName(
    "process_cpu_seconds_total", .counter, "Time of processors that this process has used.")
  package static let processMemory = MetricName(
    "process_resident_memory_bytes", .gauge, "Memory that this process has now.")
  package static let processVirtualMemory = MetricName(
    "process_virtual_memory_bytes", .gauge, "Addresses that this process has reserved.")
  package static let processFiles = MetricName(
    "process_open_fds", .gauge, "Files and connections that this process has open.")
  package static let processMostFiles = MetricName(
    "process_max_fds", .gauge, "Files and connections that this process may have open.")
  package static let processStart = MetricName(
    "process_start_time_seconds", .gauge, "When this process began, in seconds since 1970.")

  // MARK: Traces, where they are sent

  package static let spansExported = MetricName(
    "martlet_spans_exported_total", .counter, "Spans that the OpenTelemetry receiver has taken.")
  package static let spansDropped = MetricName(
    "martlet_spans_dropped_total", .counter, "Spans that were left out: no room, refused, or not sent in time.")

  package static let all = [
    tasksSubmitted, attemptsStarted, attempts, retries, deadLetters, leasesLost, taskRun, taskWait, queueTasks,
    queueOldestReady, tasksWithoutWorker, workers, leases, workerSlots, workerBusy, outboxEvents, outboxOldest,
    eventsDelivered, sinkUp, sinkDelivering, noticesWaiting, noticesOldest, noticeDeliveries, noticeChannelUp,
    redisUp, dispatched, dispatchFallbacks, configReloads, configGood, configRevision, httpRequests, httpRequest,
    storeUp, store, storeErrors, storeBatch, build, processCPU, processMemory, processVirtualMemory, processFiles,
    processMostFiles, processStart, spansExported, spansDropped,
  ]
}
