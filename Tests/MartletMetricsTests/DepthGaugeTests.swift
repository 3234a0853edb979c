// What a scrape shows of what waits, and how much of it at most.

import MartletCore
import Testing

@testable import MartletEngine

@Suite("Depth gauges")
struct DepthGaugeTests {
  private let registry = PrometheusRegistry()

  private func lines() -> Set<Substring> { Set(registry.render().split(separator: "\n")) }

  private func count(_ name: String) -> Int { lines().filter { $0.hasPrefix(name + "{") }.count }

  @Test("show each queue by status, missing ones as zero")
  func queues() {
    TaskMetrics(factory: registry).depths.set([QueueDepth("mail", counts: [.ready: 4], oldestReady: 1.5)])
    let lines = lines()
    #expect(lines.contains(#"martlet_queue_tasks{queue="mail",status="READY"} 4"#))
    #expect(lines.contains(#"martlet_queue_tasks{queue="mail",status="DEAD"} 0"#))
    #expect(lines.contains(#"martlet_queue_oldest_ready_seconds{queue="mail"} 1.5"#))
  }

  @Test("reset a queue that vanished to zero, leave it out a round later, and take it up again when it is back")
  func vanishedQueues() {
    let depths = TaskMetrics(factory: registry).depths
    let b = QueueDepth("b", counts: [.ready: 1], oldestReady: 1)
    depths.set([QueueDepth("a", counts: [.ready: 4], oldestReady: 2), b])
    #expect(lines().contains(#"martlet_queue_tasks{queue="a",status="READY"} 4"#))
    depths.set([b])
    #expect(lines().contains(#"martlet_queue_tasks{queue="a",status="READY"} 0"#))
    #expect(lines().contains(#"martlet_queue_oldest_ready_seconds{queue="a"} 0"#))
    depths.set([b])
    #expect(!registry.render().contains(#"queue="a""#))
    #expect(lines().contains(#"martlet_queue_tasks{queue="b",status="READY"} 1"#))
    for _ in 1...3 {
      depths.set([QueueDepth("a", counts: [.dead: 9], oldestReady: nil), b])
      #expect(lines().contains(#"martlet_queue_tasks{queue="a",status="DEAD"} 9"#))
    }
  }

  @Test("tell a flood of queues together: their tasks as a sum, their oldest as the oldest of all")
  func floodOfQueues() {
    let depths = TaskMetrics(factory: registry, queueLimit: 3).depths
    depths.set([QueueDepth("z", counts: [.ready: 1], oldestReady: 1)])
    let flood = (1...1000).map { QueueDepth("flood-\($0)", counts: [.ready: 2, .dead: 1], oldestReady: Double($0)) }
    for _ in 1...2 { depths.set(flood + [QueueDepth("z", counts: [.ready: 7], oldestReady: 1)]) }
    #expect(count("martlet_queue_oldest_ready_seconds") == 4)
    #expect(count("martlet_queue_tasks") == 4 * TaskStatus.allCases.count)
    #expect(lines().contains(#"martlet_queue_tasks{queue="z",status="READY"} 7"#), "it was there first")
    #expect(lines().contains(#"martlet_queue_tasks{queue="other",status="READY"} 1996"#))
    #expect(lines().contains(#"martlet_queue_tasks{queue="other",status="DEAD"} 998"#))
    #expect(lines().contains(#"martlet_queue_oldest_ready_seconds{queue="other"} 1000"#))
    for _ in 1...2 { depths.set([QueueDepth("z", counts: [.ready: 7], oldestReady: 1)]) }
    #expect(count("martlet_queue_oldest_ready_seconds") == 1, "the room is free again")
  }

  @Test("count a queue that is called other with the others while they are told together")
  func queueCalledOther() {
    let depths = TaskMetrics(factory: registry, queueLimit: 2).depths
    depths.set([QueueDepth("other", counts: [.ready: 5], oldestReady: 9)])
    #expect(lines().contains(#"martlet_queue_tasks{queue="other",status="READY"} 5"#))
    depths.set(["a", "b", "other"].map { QueueDepth($0, counts: [.ready: 5], oldestReady: 3) })
    let tasks = lines().filter { $0.hasPrefix("martlet_queue_tasks{") && $0.contains("READY") }
    #expect(tasks.compactMap { Int($0.split(separator: " ")[1]) }.reduce(0, +) == 15)
  }

  @Test("name the lanes that nobody takes from, the largest of a flood, and the rest together")
  func withoutWorker() {
    let depths = TaskMetrics(factory: registry, withoutWorkerLimit: 3).depths
    depths.set(withoutWorker: [:])
    #expect(count("martlet_tasks_without_worker") == 0)
    let flood = Dictionary(uniqueKeysWithValues: (1...500).map { (Lane(queue: "q", type: "t\($0)"), $0) })
    depths.set(withoutWorker: flood)
    #expect(count("martlet_tasks_without_worker") == 4)
    #expect(lines().contains(#"martlet_tasks_without_worker{queue="q",type="t500"} 500"#))
    let rest = (1...497).reduce(0, +)
    #expect(lines().contains(#"martlet_tasks_without_worker{queue="other",type="other"} \#(rest)"#))
    depths.set(withoutWorker: [:])
    #expect(lines().contains(#"martlet_tasks_without_worker{queue="q",type="t500"} 0"#))
    depths.set(withoutWorker: [:])
    #expect(count("martlet_tasks_without_worker") == 0)
  }
}
