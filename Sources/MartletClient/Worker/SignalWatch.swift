// SIGTERM and SIGINT for a worker: the first begins the drain, and whoever signals twice does not want to wait for it. Used by
// `RemoteWorker.run` and `martlet work`.

internal import UnixSignals

package enum SignalWatch {
  /// Until its Swift task is cancelled. Signals within a second are one: a shell or `timeout` signals a process and its group.
  package static func run(onFirst: @Sendable () -> Void, onSecond: @Sendable () -> Void) async {
    var first: ContinuousClock.Instant?
    for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
      if let begin = first {
        if .now - begin >= .seconds(1) { onSecond() }
      } else {
        first = .now
        onFirst()
      }
    }
  }
}
