// Settings of queues and types in the reference model, and the lines for concurrency keys.

internal import MartletCore

/// Those who wait for the slots of one key.
struct MemoryLine: Hashable {
  var queue: String
  /// Its bytes: they tell keys apart, where Swift takes texts for equal that are written in different ways.
  var key: [UInt8]
}

/// How many tasks one claim may still begin, by queue.
struct Allowances {
  private(set) var buckets: [String: RateBucket]
  private var left: [String: Int] = [:]
  private let settings: [String: QueueSettings]

  init(_ state: MemoryState, now: Timestamp) {
    settings = state.queues
    buckets = state.buckets
    for (queue, settings) in state.queues where settings.isLimited {
      var allowance = Int.max
      if let concurrency = settings.concurrency {
        let running = state.tasks.values.count { $0.record.status == .running && $0.record.queue == queue }
        allowance = max(0, concurrency - running)
      }
      if settings.ratePerSecond != nil {
        buckets[queue]?.refill(settings, now: now)
        allowance = min(allowance, buckets[queue]?.whole ?? 0)
      }
      left[queue] = allowance
    }
  }

  func has(_ queue: String) -> Bool { left[queue].map { $0 > 0 } ?? true }

  /// How long until its bucket holds a token; nil where that is not what it lacks.
  func nextIn(_ queue: String) -> Duration? {
    guard let settings = settings[queue], let rest = buckets[queue]?.nextIn(settings), rest > .zero else { return nil }
    return rest
  }

  mutating func use(_ queue: String) {
    left[queue]? -= 1
    if settings[queue]?.ratePerSecond != nil { buckets[queue]?.take(1) }
  }
}

extension MemoryState {
  func isPaused(_ lane: Lane) -> Bool {
    queues[lane.queue]?.isPaused == true || types[lane.type]?.isPaused == true
  }

  mutating func change(queue: String, _ patch: QueuePatch, now: Timestamp) -> QueueSettings {
    let old = queues[queue] ?? QueueSettings()
    let new = patch.applied(to: old)
    queues[queue] = new
    if new.ratePerSecond == nil {
      buckets[queue] = nil
    } else if new.ratePerSecond != old.ratePerSecond || new.capacity != old.capacity {
      buckets[queue] = RateBucket(full: new, at: now)
    }
    hints += [.settings, .anyWork]
    return new
  }

  mutating func put(type: String, _ settings: TypeSettings) {
    types[type] = settings
    hints += [.settings, .anyWork]
  }

  /// True while somebody waits for a slot.
  var hasLine: Bool {
    hasKeys && tasks.values.contains { $0.record.status == .ready && !$0.isClaimable }
  }

  /// A queue that has no room for these.
  func fullQueue(adding new: [AcceptedTask]) -> String? {
    let added = Dictionary(grouping: new, by: \.queue).mapValues(\.count)
    return added.keys.sorted().first { queue in
      guard let maxDepth = queues[queue]?.maxDepth else { return false }
      let waiting = tasks.values.count { $0.record.queue == queue && $0.record.status.isWaiting }
      return waiting + (added[queue] ?? 0) > maxDepth
    }
  }

  /// What limits a task, for an explanation.
  func situation(of task: MemoryTask) -> ExplainFacts.Situation {
    var situation = ExplainFacts.Situation()
    situation.queue = queues[task.record.queue] ?? QueueSettings()
    situation.isTypePaused = types[task.record.type]?.isPaused == true
    situation.running = tasks.values.count { $0.record.status == .running && $0.record.queue == task.record.queue }
    situation.bucket = buckets[task.record.queue]
    if task.record.status == .ready, !task.isClaimable { situation.slotsTaken = held(in: task.line) }
    return situation
  }

  // MARK: Slots

  mutating func admit(limit: Int, now: Timestamp) -> Admission {
    let keyed = tasks.values.filter { $0.record.concurrencyKey != nil }
    let lines = Dictionary(grouping: keyed, by: \.line)
    var admission = Admission(lanes: [], isPartial: false, nextIn: nil)
    var left = limit
    for line in lines.keys.sorted(by: Self.isBefore) where mustAdmit(in: line, now: now) {
      if left == 0 {
        admission.isPartial = true
        break
      }
      left -= 1
      admit(line, &admission, now: now)
    }
    admission.nextIn = lines.keys.compactMap(firstTurn).min().map { max(.zero, $0 - now) }
    return admission
  }

  /// True where there is a free slot for somebody, or somebody has to give way.
  private func mustAdmit(in line: MemoryLine, now: Timestamp) -> Bool {
    (!waiting(in: line).isEmpty && held(in: line) < slots(in: line)) || (firstTurn(in: line).map { $0 <= now } ?? false)
  }

  private mutating func admit(_ line: MemoryLine, _ admission: inout Admission, now: Timestamp) {
    while held(in: line) < slots(in: line), let next = waiting(in: line).first {
      admit(next, &admission, now: now)
    }
    for holder in untaken(in: line) {
      guard let turn = turn(of: holder, in: line), turn <= now else { continue }
      let rivals = rivals(of: holder, in: line)
      gaveWay[line, default: [:]][holder.record.type] = now
      tasks[holder.record.id]?.admittedAt = nil
      let turns = gaveWay[line] ?? [:]
      let never = Timestamp(milliseconds: .min)
      let next = rivals.min { left, right in
        let (turn, other) = (turns[left.record.type] ?? never, turns[right.record.type] ?? never)
        return turn != other ? turn < other : Self.isBefore(left, right)
      }
      if let next { admit(next, &admission, now: now) }
    }
  }

  private mutating func admit(_ task: MemoryTask, _ admission: inout Admission, now: Timestamp) {
    tasks[task.record.id]?.admittedAt = now
    admission.lanes.insert(task.lane)
  }

  private func slots(in line: MemoryLine) -> Int {
    let slots = (queues[line.queue] ?? QueueSettings()).concurrencyPerKey ?? .max
    return sabotage == .overbooksSlots && slots < .max ? slots + 1 : slots
  }

  private func held(in line: MemoryLine) -> Int {
    tasks.values.count { $0.line == line && $0.admittedAt != nil } + (sabotaged.leaked[line] ?? 0)
  }

  /// Admitted, and READY still.
  private func untaken(in line: MemoryLine) -> [MemoryTask] {
    tasks.values
      .filter { $0.line == line && $0.record.status == .ready && $0.admittedAt != nil }
      .sorted(by: Self.isBefore)
  }

  /// Those of other types that wait behind one that nobody has taken.
  private func rivals(of holder: MemoryTask, in line: MemoryLine) -> [MemoryTask] {
    waiting(in: line).filter { $0.record.type != holder.record.type }
  }

  /// When it has to give way; nil where there is nobody to give way to.
  private func turn(of holder: MemoryTask, in line: MemoryLine) -> Timestamp? {
    rivals(of: holder, in: line).isEmpty ? nil : holder.admittedAt.map { $0 + Admission.patience }
  }

  private func firstTurn(in line: MemoryLine) -> Timestamp? {
    untaken(in: line).compactMap { turn(of: $0, in: line) }.min()
  }

  /// READY without a slot, the next first.
  private func waiting(in line: MemoryLine) -> [MemoryTask] {
    tasks.values
      .filter { $0.line == line && $0.record.status == .ready && $0.admittedAt == nil }
      .filter { types[$0.record.type]?.isPaused != true }
      .sorted(by: Self.isBefore)
  }

  private static func isBefore(_ left: MemoryLine, _ right: MemoryLine) -> Bool {
    left.queue != right.queue ? left.queue < right.queue : left.key.lexicographicallyPrecedes(right.key)
  }

  private static func isBefore(_ left: MemoryTask, _ right: MemoryTask) -> Bool {
    (-left.record.priority, left.record.availableAt, left.record.id)
      < (-right.record.priority, right.record.availableAt, right.record.id)
  }
}

extension MemoryTask {
  var line: MemoryLine { MemoryLine(queue: record.queue, key: Array((record.concurrencyKey ?? "").utf8)) }
}
