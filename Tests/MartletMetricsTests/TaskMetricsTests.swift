// What the engine's calls become in the scrape.

import MartletCore
import MartletEngine
import Testing

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

  @Test("time the store's calls by operation")
  func storeCalls() {
    let metrics = TaskMetrics(factory: registry)
    metrics.storeCall("claim", took: .milliseconds(1))
    metrics.storeCall("claim", took: .milliseconds(1))
    metrics.storeCall("finish", took: .milliseconds(1))
    #expect(lines().contains("martlet_store_seconds_count{operation=\"claim\"} 2"))
    #expect(lines().contains("martlet_store_seconds_count{operation=\"finish\"} 1"))
  }

  @Test("show each queue by status, workers and leases as they are now")
  func gauges() {
    let metrics = TaskMetrics(factory: registry)
    metrics.setWorkers(3)
    metrics.setLeases(7)
    metrics.setLeases(6)
    metrics.setQueue("mail", counts: [.ready: 4], oldestReady: 1.5)
    let lines = lines()
    #expect(lines.contains("martlet_workers 3") && lines.contains("martlet_leases 6"))
    #expect(lines.contains("martlet_queue_tasks{queue=\"mail\",status=\"READY\"} 4"))
    #expect(lines.contains("martlet_queue_tasks{queue=\"mail\",status=\"DEAD\"} 0"))
    #expect(lines.contains("martlet_queue_oldest_ready_seconds{queue=\"mail\"} 1.5"))
  }

  @Test("reset a queue that vanished to zero, leave it out a round later, and take it up again when it is back")
  func vanishedQueues() {
    let metrics = TaskMetrics(factory: registry)
    metrics.setQueue("a", counts: [.ready: 4], oldestReady: 2)
    metrics.setQueue("b", counts: [.ready: 1], oldestReady: 1)
    metrics.resetQueues(except: ["a", "b"])
    #expect(lines().contains("martlet_queue_tasks{queue=\"a\",status=\"READY\"} 4"))
    metrics.resetQueues(except: ["b"])
    #expect(lines().contains("martlet_queue_tasks{queue=\"a\",status=\"READY\"} 0"))
    #expect(lines().contains("martlet_queue_oldest_ready_seconds{queue=\"a\"} 0"))
    metrics.resetQueues(except: ["b"])
    #expect(!registry.render().contains("queue=\"a\""))
    #expect(lines().contains("martlet_queue_tasks{queue=\"b\",status=\"READY\"} 1"))
    metrics.setQueue("a", counts: [.dead: 9], oldestReady: nil)
    metrics.resetQueues(except: ["a", "b"])
    #expect(lines().contains("martlet_queue_tasks{queue=\"a\",status=\"DEAD\"} 9"))
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
