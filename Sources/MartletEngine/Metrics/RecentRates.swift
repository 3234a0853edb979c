// What happened on this node within the last minute: rates and latencies for `/stats` and `/queues`. The engine tells it of each
// submission and attempt, with the time; `TaskService` asks. The memory is fixed but for the names of queues, which are bounded.

internal import Synchronization

package final class RecentRates: Sendable {
  /// Queues counted apart within five seconds; what comes in further ones is only in the totals.
  private static let queueLimit = 1000
  private static let slotCount = 12
  private static let slotLength: Int64 = 5_000_000_000

  private let slots: Mutex<[Slot]>
  private let origin: MonotonicTime

  /// - Parameter origin: when counting begins; a rate is never taken over time before it.
  package init(since origin: MonotonicTime) {
    self.origin = origin
    slots = Mutex(Array(repeating: Slot(), count: Self.slotCount))
  }

  package func submitted(_ count: Int = 1, to queue: String? = nil, at now: MonotonicTime) {
    withSlot(at: now) { slot in
      slot.submitted += count
      if let queue { Self.add(count, of: queue, to: &slot.submittedByQueue) }
    }
  }

  package func started(waited: Duration, at now: MonotonicTime) {
    withSlot(at: now) { $0.wait.record(waited) }
  }

  package func ended(_ queue: String, after duration: Duration, at now: MonotonicTime) {
    withSlot(at: now) { slot in
      slot.finished += 1
      slot.run.record(duration)
      Self.add(1, of: queue, to: &slot.finishedByQueue)
    }
  }

  private static func add(_ count: Int, of queue: String, to counts: inout [String: Int]) {
    if let known = counts.index(forKey: queue) {
      counts.values[known] += count
    } else if counts.count < queueLimit {
      counts[queue] = count
    }
  }

  package struct Summary: Sendable, Hashable {
    package var submittedPerSecond: Double
    package var finishedPerSecond: Double
    /// Queues without an entry had nothing.
    package var finishedPerSecondByQueue: [String: Double]
    package var submittedPerSecondByQueue: [String: Double]
    /// Nil when no attempt began.
    package var wait: Statistics.Latency?
    /// Nil when no attempt ended.
    package var run: Statistics.Latency?
  }

  /// Over the five-second slot that `now` is in and the eleven before it.
  package func summary(at now: MonotonicTime) -> Summary {
    let recent = slots.withLock { slots in slots.filter { Self.isRecent($0, at: now) } }
    let seconds = span(until: now)
    var wait = LatencyHistogram()
    var run = LatencyHistogram()
    var byQueue: [String: Double] = [:]
    var submittedByQueue: [String: Double] = [:]
    for slot in recent {
      wait.add(slot.wait)
      run.add(slot.run)
      for (queue, count) in slot.finishedByQueue { byQueue[queue, default: 0] += Double(count) / seconds }
      for (queue, count) in slot.submittedByQueue { submittedByQueue[queue, default: 0] += Double(count) / seconds }
    }
    return Summary(
      submittedPerSecond: Double(recent.reduce(0) { $0 + $1.submitted }) / seconds,
      finishedPerSecond: Double(recent.reduce(0) { $0 + $1.finished }) / seconds,
      finishedPerSecondByQueue: byQueue, submittedPerSecondByQueue: submittedByQueue, wait: wait.latency,
      run: run.latency)
  }

  private func withSlot(at now: MonotonicTime, _ body: (inout Slot) -> Void) {
    let number = Self.slotNumber(now)
    slots.withLock { slots in
      let place = Int(number - (number / Int64(Self.slotCount)) * Int64(Self.slotCount))
      // A caller that was held up may bring a time from before the slot's: it then counts with the newer ones.
      if slots[place].number < number { slots[place].begin(number) }
      body(&slots[place])
    }
  }

  /// Seconds that the slots cover: up to a minute, less when counting began later, and at least one, so that a first task
  /// does not look like thousands a second.
  private func span(until now: MonotonicTime) -> Double {
    let first = (Self.slotNumber(now) - Int64(Self.slotCount) + 1) * Self.slotLength
    let begin = max(origin, MonotonicTime(nanoseconds: first))
    return max(1, Double(now.nanoseconds - begin.nanoseconds) / 1e9)
  }

  private static func isRecent(_ slot: Slot, at now: MonotonicTime) -> Bool {
    let number = slotNumber(now)
    return slot.number > number - Int64(slotCount) && slot.number <= number
  }

  private static func slotNumber(_ time: MonotonicTime) -> Int64 {
    max(0, time.nanoseconds) / slotLength
  }
}

private struct Slot: Sendable {
  /// Which five seconds since the clock's zero; -1 was never used.
  var number: Int64 = -1
  var submitted = 0
  var finished = 0
  var finishedByQueue: [String: Int] = [:]
  var submittedByQueue: [String: Int] = [:]
  var wait = LatencyHistogram()
  var run = LatencyHistogram()

  mutating func begin(_ number: Int64) {
    self.number = number
    submitted = 0
    finished = 0
    finishedByQueue.removeAll(keepingCapacity: true)
    submittedByQueue.removeAll(keepingCapacity: true)
    wait.clear()
    run.clear()
  }
}

/// Counts by size, eight steps to each doubling: what it answers is within 7 % of the truth. From 61 µs to 12 days; beyond
/// them the first and the last step count.
struct LatencyHistogram: Sendable {
  private static let leastExponent = -14
  private static let octaves = 34
  private static let stepsPerOctave = 8

  private var counts = [UInt32](repeating: 0, count: octaves * stepsPerOctave)
  private var total = 0

  mutating func record(_ duration: Duration) {
    counts[Self.step(of: Double(duration.wholeNanoseconds) / 1e9)] += 1
    total += 1
  }

  mutating func add(_ other: LatencyHistogram) {
    guard other.total > 0 else { return }
    for index in counts.indices { counts[index] += other.counts[index] }
    total += other.total
  }

  mutating func clear() {
    guard total > 0 else { return }
    for index in counts.indices { counts[index] = 0 }
    total = 0
  }

  var latency: Statistics.Latency? {
    total > 0 ? Statistics.Latency(p50: quantile(0.5), p99: quantile(0.99)) : nil
  }

  /// The middle of the step in which the sample of this rank lies.
  private func quantile(_ share: Double) -> Double {
    let rank = max(1, Int((share * Double(total)).rounded(.up)))
    var seen = 0
    for (step, count) in counts.enumerated() {
      seen += Int(count)
      if seen >= rank { return Self.middle(of: step) }
    }
    return 0
  }

  private static func step(of seconds: Double) -> Int {
    let least = Double(sign: .plus, exponent: leastExponent, significand: 1)
    guard seconds > least else { return 0 }
    // Sign and exponent aside, the top three bits of the significand are the eighth of the octave.
    let eighth = Int(seconds.significandBitPattern >> UInt64(Double.significandBitCount - 3))
    let step = (Int(seconds.exponent) - leastExponent) * stepsPerOctave + eighth
    return min(step, octaves * stepsPerOctave - 1)
  }

  private static func middle(of step: Int) -> Double {
    let significand = 1 + (Double(step % stepsPerOctave) + 0.5) / Double(stepsPerOctave)
    return Double(sign: .plus, exponent: step / stepsPerOctave + leastExponent, significand: significand)
  }
}
