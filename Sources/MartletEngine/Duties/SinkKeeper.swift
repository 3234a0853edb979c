// The duty that forgets sinks to which nobody attends any more: a broker that was taken out of the configuration must not fill the
// disk. Part of the role `scheduler`, since it matters most where no relay is left.

internal import MartletCore

extension PeriodicService {
  static func sinkKeeper(_ engine: EngineParts) -> PeriodicService {
    PeriodicService("sinks", clock: engine.clock, random: engine.random, logger: engine.logger) {
      () throws(StoreError) in
      try await engine.store.attend(to: [])
      return .seconds(60)
    }
  }
}
