// What goes out, and what stands beside the store: sinks, notices, Redis. Part of `TaskMetrics`. Series are made when first needed:
// most installations have few of these, and their names are the few in the code.

internal import MartletCore
internal import Metrics
internal import Synchronization

final class OutsideMetrics: Sendable {
  private let factory: any MetricsFactory
  private let sinks = Mutex<[String: SinkHandles]>([:])
  private let relays = Mutex<[String: RelayHandles]>([:])
  private let channels = Mutex<[NoticeChannel: ChannelHandles]>([:])
  private let redis = Mutex<RedisHandles?>(nil)
  private let noticesWaiting: any RecorderHandler
  private let noticesOldest: any RecorderHandler

  init(factory: any MetricsFactory) {
    self.factory = factory
    noticesWaiting = factory.makeGauge(.noticesWaiting)
    noticesOldest = factory.makeGauge(.noticesOldest)
  }

  // MARK: Sinks

  /// Of any node's.
  func setOutbox(_ sink: String, waiting: Int, oldest: Duration) {
    let handles = sinks.handles(of: sink) { SinkHandles(sink, factory: factory) }
    handles.waiting.record(Int64(waiting))
    handles.oldest.record(oldest.secondsAsDouble)
  }

  /// Of this node's own.
  func setRelay(_ sink: String, isUp: Bool, isDelivering: Bool) {
    let handles = handles(ofRelay: sink)
    handles.up.record(Int64(isUp ? 1 : 0))
    handles.delivering.record(Int64(isDelivering ? 1 : 0))
  }

  func delivered(_ events: Int, to sink: String) {
    handles(ofRelay: sink).delivered.increment(by: Int64(events))
  }

  private func handles(ofRelay sink: String) -> RelayHandles {
    relays.handles(of: sink) { RelayHandles(sink, factory: factory) }
  }

  // MARK: Notices

  func setNotices(_ waiting: Int, oldest: Duration) {
    noticesWaiting.record(Int64(waiting))
    noticesOldest.record(oldest.secondsAsDouble)
  }

  func setChannel(_ channel: NoticeChannel, isUp: Bool) {
    handles(of: channel).up.record(Int64(isUp ? 1 : 0))
  }

  func notice(_ channel: NoticeChannel, outcome: NoticeOutcome) {
    handles(of: channel).deliveries[outcome]?.increment(by: 1)
  }

  private func handles(of channel: NoticeChannel) -> ChannelHandles {
    channels.handles(of: channel) { ChannelHandles(channel, factory: factory) }
  }

  // MARK: Redis

  func setRedis(isUp: Bool) { handlesOfRedis.up.record(Int64(isUp ? 1 : 0)) }

  func dispatched(claimed: Int, refused: Int) {
    handlesOfRedis.claimed.increment(by: Int64(claimed))
    handlesOfRedis.refused.increment(by: Int64(refused))
  }

  func dispatchFellBack() { handlesOfRedis.fallbacks.increment(by: 1) }

  private var handlesOfRedis: RedisHandles {
    redis.withLock { redis in
      let handles = redis ?? RedisHandles(factory: factory)
      redis = handles
      return handles
    }
  }
}

/// What became of a delivery: done, to be tried again, or given up.
enum NoticeOutcome: String, CaseIterable, Sendable {
  case delivered, failed, dead
}

private struct SinkHandles {
  let waiting: any RecorderHandler
  let oldest: any RecorderHandler

  init(_ sink: String, factory: any MetricsFactory) {
    waiting = factory.makeGauge(.outboxEvents, [("sink", sink)])
    oldest = factory.makeGauge(.outboxOldest, [("sink", sink)])
  }
}

private struct RelayHandles {
  let delivered: any CounterHandler
  let up: any RecorderHandler
  let delivering: any RecorderHandler

  init(_ sink: String, factory: any MetricsFactory) {
    delivered = factory.makeCounter(label: MetricName.eventsDelivered.text, dimensions: [("sink", sink)])
    up = factory.makeGauge(.sinkUp, [("sink", sink)])
    delivering = factory.makeGauge(.sinkDelivering, [("sink", sink)])
  }
}

private struct ChannelHandles {
  let up: any RecorderHandler
  /// All of them from the start, so that the first that is given up is a rise.
  let deliveries: [NoticeOutcome: any CounterHandler]

  init(_ channel: NoticeChannel, factory: any MetricsFactory) {
    up = factory.makeGauge(.noticeChannelUp, [("channel", channel.rawValue)])
    deliveries = Dictionary(
      uniqueKeysWithValues: NoticeOutcome.allCases.map { outcome in
        let labels = [("channel", channel.rawValue), ("outcome", outcome.rawValue)]
        return (outcome, factory.makeCounter(label: MetricName.noticeDeliveries.text, dimensions: labels))
      })
  }
}

private struct RedisHandles {
  let up: any RecorderHandler
  let claimed: any CounterHandler
  let refused: any CounterHandler
  let fallbacks: any CounterHandler

  init(factory: any MetricsFactory) {
    up = factory.makeGauge(.redisUp)
    claimed = factory.makeCounter(label: MetricName.dispatched.text, dimensions: [("result", "claimed")])
    refused = factory.makeCounter(label: MetricName.dispatched.text, dimensions: [("result", "refused")])
    fallbacks = factory.makeCounter(label: MetricName.dispatchFallbacks.text, dimensions: [])
  }
}

extension Mutex {
  /// The handles of a name, made if need be.
  fileprivate func handles<Name: Hashable & Sendable, Handles: Sendable>(
    of name: Name, make: () -> Handles
  ) -> Handles where Value == [Name: Handles] {
    withLock { known in
      if let handles = known[name] { return handles }
      let handles = make()
      known[name] = handles
      return handles
    }
  }
}
