// Every metric of the project, in one place: its name as Prometheus sees it and the sentence that explains it. `TaskMetrics`
// and `MartletHTTP` make their metrics by these; `PrometheusRegistry` takes its HELP lines from here.

package struct MetricName: Sendable, Hashable {
  package let text: String
  package let help: String

  private init(_ text: String, _ help: String) {
    self.text = text
    self.help = help
  }

  // MARK: Tasks, by `queue` and `type`

  package static let tasksSubmitted = MetricName("martlet_tasks_submitted_total", "Tasks accepted and stored.")
  /// Also by `outcome`.
  package static let attempts = MetricName("martlet_attempts_total", "Attempts that ended, by outcome.")
  package static let retries = MetricName("martlet_retries_total", "Attempts that failed with a further one to come.")
  package static let deadLetters = MetricName("martlet_dead_letters_total", "Tasks that ended DEAD.")
  package static let leasesLost = MetricName(
    "martlet_leases_lost_total", "Attempts of this node whose lease was lost before their end was reported.")
  package static let taskRun = MetricName("martlet_task_run_seconds", "How long attempts ran.")
  package static let taskWait = MetricName(
    "martlet_task_wait_seconds", "How long tasks were READY before an attempt began.")

  // MARK: What is there now

  /// By `queue` and `status`.
  package static let queueTasks = MetricName("martlet_queue_tasks", "Tasks stored now, by status.")
  /// By `queue`.
  package static let queueOldestReady = MetricName(
    "martlet_queue_oldest_ready_seconds", "How long the oldest READY task has waited; 0 when none is READY.")
  package static let leases = MetricName("martlet_leases", "Leases held by workers of this node.")
  package static let workers = MetricName("martlet_workers", "Live workers that the store knows.")
  /// By `sink`, as are the next two. Counted up to 100,000.
  package static let outboxEvents = MetricName(
    "martlet_outbox_events", "Transitions that a sink has not been told of yet; 100000 stands for that many or more.")
  package static let outboxOldest = MetricName(
    "martlet_outbox_oldest_seconds", "How long the oldest of them has waited; 0 when none waits.")
  package static let eventsDelivered = MetricName(
    "martlet_events_delivered_total", "Events that this node has delivered to a sink.")
  package static let noticesWaiting = MetricName(
    "martlet_notices_waiting", "Notices that are not delivered yet; 100000 stands for that many or more.")
  package static let noticesOldest = MetricName(
    "martlet_notices_oldest_seconds", "How long the oldest of them has waited; 0 when none waits.")
  /// By `channel` and `outcome`.
  package static let noticeDeliveries = MetricName(
    "martlet_notice_deliveries_total", "Deliveries of notices that this node has tried: delivered, failed, dead.")

  // MARK: Redis, where there is one

  package static let redisUp = MetricName("martlet_redis_up", "1 while this node can use Redis, else 0.")
  /// By `result`: `claimed`, or `refused` by the store.
  package static let dispatched = MetricName(
    "martlet_dispatched_total", "Tasks that Redis has named to this node's claims, by what the store said.")
  package static let dispatchFallbacks = MetricName(
    "martlet_dispatch_fallbacks_total", "Claims for which Redis could not be asked, so that the store was.")

  // MARK: The configuration

  /// By `result`: `applied`, `refused`, or `failed` where a source could not be asked.
  package static let configReloads = MetricName(
    "martlet_config_reloads_total", "Changed configurations that this node met, by what became of them.")
  package static let configGood = MetricName(
    "martlet_config_good", "1 while the configuration as it stands now is the one in force, else 0.")
  package static let configRevision = MetricName(
    "martlet_config_revision",
    "The revision of the fleet's overrides that is in force on this node; 0 where there is none.")

  // MARK: The edges

  /// By `method`, `route` and `status`.
  package static let httpRequests = MetricName("martlet_http_requests_total", "HTTP requests answered.")
  /// By `method` and `route`.
  package static let httpRequest = MetricName("martlet_http_request_seconds", "How long HTTP requests took.")
  /// By `operation`.
  package static let store = MetricName("martlet_store_seconds", "How long calls of the store took, commit included.")

  package static let all = [
    tasksSubmitted, attempts, retries, deadLetters, leasesLost, taskRun, taskWait, queueTasks, queueOldestReady,
    leases, workers, outboxEvents, outboxOldest, eventsDelivered, noticesWaiting, noticesOldest, noticeDeliveries,
    redisUp, dispatched, dispatchFallbacks, configReloads, configGood, configRevision,
    httpRequests, httpRequest, store,
  ]
}
