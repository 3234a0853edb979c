// What LISTEN and NOTIFY are to nodes over one database: each hears what the others did, a little later, or never.

package import MartletCore
internal import Synchronization

package final class HintWire: Sendable {
  private let scheduler: Scheduler
  private let random: RandomSource
  private let counters: Counters
  private let ears = Mutex<[Int: @Sendable (StoreHint) -> Void]>([:])
  private let loss: Mutex<Double>

  /// - Parameter loss: how many hints never arrive, 0…1.
  package init(scheduler: Scheduler, random: RandomSource, counters: Counters, loss: Double = 0) {
    self.scheduler = scheduler
    self.random = random
    self.counters = counters
    self.loss = Mutex(loss)
  }

  package var lossRate: Double {
    get { loss.withLock(\.self) }
    set { loss.withLock { $0 = newValue } }
  }

  func join(_ process: Int, _ hear: @escaping @Sendable (StoreHint) -> Void) {
    ears.withLock { $0[process] = hear }
  }

  /// To all but this process.
  package func send(_ hint: StoreHint, from process: Int) {
    for (_, hear) in ears.withLock(\.self).filter({ $0.key != process }).sorted(by: { $0.key < $1.key }) {
      guard random.fraction() >= lossRate else {
        counters.count("hint lost")
        continue
      }
      counters.count("hint heard")
      scheduler.after(.milliseconds(random.below(5))) { hear(hint) }
    }
  }
}

extension StoreHint {
  static func after(_ submissions: [Submission], _ verdicts: [SubmissionVerdict]) -> [StoreHint] {
    zip(submissions, verdicts).flatMap { submission, verdict in
      guard case .accepted(let at) = verdict else { return [StoreHint]() }
      return submission.tasks.map { of(TaskRecord($0, acceptedAt: at), at: at) }
    }
  }

  /// A report says nothing of the task's lane.
  static func after(_ verdicts: [FinishVerdict]) -> [StoreHint] {
    verdicts.compactMap { verdict in
      switch verdict {
      case .applied(.ready): .anyWork
      case .applied(.retry), .applied(.pending): .due(.zero)
      case .applied, .lost: nil
      }
    }
  }

  static func after(_ rescue: Rescue) -> [StoreHint] {
    rescue.rescued.compactMap { $0.status == .ready ? .work([$0.lane]) : $0.status == .retry ? .due(.zero) : nil }
  }

  static func after(_ settlement: Settlement) -> [StoreHint] {
    settlement.lanes.isEmpty ? [] : [.work(settlement.lanes)]
  }

  static func after(_ verdicts: [SteeringVerdict]) -> [StoreHint] {
    verdicts.compactMap { verdict in
      guard case .done(let record) = verdict else { return nil }
      if record.status == .running { return record.cancelRequested ? .cancelled(record.id) : nil }
      return record.status.isFinal ? nil : of(record, at: record.updatedAt)
    }
  }

  private static func of(_ record: TaskRecord, at now: Timestamp) -> StoreHint {
    record.status == .ready
      ? .work([Lane(queue: record.queue, type: record.type)]) : .due(max(.zero, record.availableAt - now))
  }
}
