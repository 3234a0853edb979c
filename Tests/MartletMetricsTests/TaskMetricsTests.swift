// What the engine's calls become in the scrape.

import MartletCore
import Testing

@testable import MartletEngine

@Suite("Task metrics")
struct TaskMetricsTests {
  private let registry = PrometheusRegistry()
  private let lane = Lane(queue: "default", type: "email")

  private func lines() -> Set<Substring> { Set(registry.render().split(separator: "\n")) }

  @Test("count a task's way by queue and type")
  func lifecycle() {
    let metrics = TaskMetrics(factory: registry)
    metrics.submitted(lane)
    metrics.submitted(lane)
    metrics.started(lane, waited: .milliseconds(20))
    metrics.ended(lane, outcome: .failed, after: .seconds(2))
    metrics.retried(lane)
    metrics.started(lane, waited: .seconds(4))
    metrics.ended(lane, outcome: .timedOut, after: .seconds(3))
    metrics.deadLettered(lane)
    let lines = lines()
    let labels = #"queue="default",type="email""#
    #expect(lines.contains("martlet_tasks_submitted_total{\(labels)} 2"))
    #expect(lines.contains("martlet_attempts_started_total{\(labels)} 2"))
    #expect(lines.contains("martlet_attempts_total{outcome=\"FAILED\",\(labels)} 1"))
    #expect(lines.contains("martlet_attempts_total{outcome=\"TIMED_OUT\",\(labels)} 1"))
    #expect(lines.contains("martlet_retries_total{\(labels)} 1"))
    #expect(lines.contains("martlet_dead_letters_total{\(labels)} 1"))
    #expect(lines.contains("martlet_task_wait_seconds_sum{\(labels)} 4.02"))
    #expect(lines.contains("martlet_task_run_seconds_sum{\(labels)} 5"))
    #expect(lines.contains("martlet_task_run_seconds_count{\(labels)} 2"))
  }

  @Test("count an attempt that nobody measured without timing it")
  func lostAttempt() {
    TaskMetrics(factory: registry).ended(lane, outcome: .lost, after: nil)
    #expect(lines().contains("martlet_attempts_total{outcome=\"LOST\",queue=\"default\",type=\"email\"} 1"))
    #expect(lines().contains("martlet_task_run_seconds_count{queue=\"default\",type=\"email\"} 0"))
  }

  @Test("show counters at zero from a lane's first event on, so that a first failure is a rise")
  func zeros() {
    TaskMetrics(factory: registry).submitted(lane)
    #expect(lines().contains("martlet_dead_letters_total{queue=\"default\",type=\"email\"} 0"))
  }

  @Test("count lanes beyond the limit as other")
  func laneLimit() {
    let metrics = TaskMetrics(factory: registry, laneLimit: 2)
    metrics.submitted(Lane(queue: "q", type: "t0"))
    #expect(!registry.render().contains("other"))
    for index in 1..<5 { metrics.submitted(Lane(queue: "q", type: "t\(index)")) }
    metrics.submitted(Lane(queue: "q", type: "t1"))
    #expect(lines().contains("martlet_tasks_submitted_total{queue=\"q\",type=\"t1\"} 2"))
    #expect(lines().contains("martlet_tasks_submitted_total{queue=\"other\",type=\"other\"} 3"))
  }

  @Test("count lanes within the limit by every outcome, and those beyond it too")
  func outcomesOfManyLanes() {
    let metrics = TaskMetrics(factory: registry)
    for index in 0..<1100 {
      for outcome in AttemptOutcome.allCases {
        metrics.ended(Lane(queue: "q", type: "t\(index)"), outcome: outcome, after: nil)
      }
    }
    let attempts = lines().filter { $0.hasPrefix("martlet_attempts_total{") }
    #expect(attempts.count == 1001 * AttemptOutcome.allCases.count)
    #expect(attempts.contains("martlet_attempts_total{outcome=\"LOST\",queue=\"other\",type=\"other\"} 100"))
  }

  @Test("time the store's calls by operation, and count those that fail")
  func storeCalls() {
    let metrics = TaskMetrics(factory: registry)
    metrics.store.call("claim", items: 3, took: .milliseconds(1), failed: false)
    metrics.store.call("claim", items: 500, took: .milliseconds(1), failed: true)
    metrics.store.call("prune", items: nil, took: .milliseconds(1), failed: false)
    let lines = lines()
    #expect(lines.contains("martlet_store_seconds_count{operation=\"claim\"} 2"))
    #expect(lines.contains("martlet_store_seconds_count{operation=\"prune\"} 1"))
    #expect(lines.contains("martlet_store_errors_total{operation=\"claim\"} 1"))
    #expect(lines.contains("martlet_store_errors_total{operation=\"prune\"} 0"), "so that a first one is a rise")
    #expect(lines.contains("martlet_store_batch_size_bucket{operation=\"claim\",le=\"5\"} 1"))
    #expect(lines.contains("martlet_store_batch_size_sum{operation=\"claim\"} 503"))
    #expect(!registry.render().contains("batch_size_count{operation=\"prune\"}"), "nobody shares it")
    metrics.store.set(isUp: true)
    #expect(self.lines().contains("martlet_store_up 1"))
    metrics.store.set(isUp: false)
    #expect(self.lines().contains("martlet_store_up 0"))
  }

  @Test("show what the node's worker has to do, and nothing of one where there is none")
  func worker() {
    let metrics = TaskMetrics(factory: registry)
    metrics.setWorkers(3)
    #expect(lines().contains("martlet_workers 3"))
    #expect(!registry.render().contains("martlet_leases"))
    metrics.setWorker(slots: 32, busy: 4, leases: 7)
    metrics.setWorker(slots: 32, busy: 5, leases: 6)
    #expect(lines().isSuperset(of: ["martlet_worker_slots 32", "martlet_worker_busy 5", "martlet_leases 6"]))
  }

  @Test("show of sinks, notices and Redis what there is, and count from zero")
  func outside() {
    let outside = TaskMetrics(factory: registry).outside
    #expect(!registry.render().contains("redis") && !registry.render().contains("sink"))
    outside.setOutbox("kafka", waiting: 7, oldest: .milliseconds(1500))
    #expect(!registry.render().contains("martlet_sink_up"), "another node's")
    outside.setRelay("kafka", isUp: false, isDelivering: true)
    outside.delivered(12, to: "kafka")
    outside.setChannel(.email, isUp: true)
    outside.setNotices(2, oldest: .seconds(3))
    outside.setRedis(isUp: true)
    outside.dispatched(claimed: 5, refused: 1)
    #expect(
      lines().isSuperset(of: [
        #"martlet_outbox_events{sink="kafka"} 7"#, #"martlet_outbox_oldest_seconds{sink="kafka"} 1.5"#,
        #"martlet_sink_up{sink="kafka"} 0"#, #"martlet_sink_delivering{sink="kafka"} 1"#,
        #"martlet_events_delivered_total{sink="kafka"} 12"#, #"martlet_notice_channel_up{channel="email"} 1"#,
        #"martlet_notice_deliveries_total{channel="email",outcome="dead"} 0"#, "martlet_notices_waiting 2",
        "martlet_notices_oldest_seconds 3", "martlet_redis_up 1", #"martlet_dispatched_total{result="claimed"} 5"#,
        #"martlet_dispatched_total{result="refused"} 1"#, "martlet_dispatch_fallbacks_total 0",
      ]))
    outside.notice(.email, outcome: .dead)
    #expect(lines().contains(#"martlet_notice_deliveries_total{channel="email",outcome="dead"} 1"#))
  }

  @Test("survive spans that are negative or beyond all measure")
  func oddDurations() {
    let metrics = TaskMetrics(factory: registry)
    metrics.started(lane, waited: .seconds(-5))
    metrics.started(lane, waited: .seconds(Int64.max))
    #expect(lines().contains("martlet_task_wait_seconds_count{queue=\"default\",type=\"email\"} 2"))
    #expect(lines().contains("martlet_task_wait_seconds_bucket{queue=\"default\",type=\"email\",le=\"0.001\"} 1"))
  }
}
