// Whoever signals twice does not want to wait for the drain.

internal import Foundation
internal import Logging
internal import UnixSignals

/// Ends the process at the second SIGTERM or SIGINT. Leases of what ran end by themselves. Signals within a second are one:
/// a shell or `timeout` signals the process and its group.
func exitAtSecondSignal(_ logger: Logger) async {
  var first: ContinuousClock.Instant?
  for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
    guard let begin = first else {
      first = .now
      continue
    }
    if .now - begin >= .seconds(1) {
      logger.warning("stopping at once; what runs here is rescued when its lease ends")
      exit(1)
    }
  }
}
