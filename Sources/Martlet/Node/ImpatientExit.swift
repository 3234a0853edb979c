// Whoever signals twice does not want to wait for the drain.

internal import Foundation
internal import Logging
internal import UnixSignals

/// Ends the process at the second SIGTERM or SIGINT. Leases of what ran end by themselves.
func exitAtSecondSignal(_ logger: Logger) async {
  var seen = 0
  for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
    seen += 1
    if seen == 2 {
      logger.warning("stopping at once; what runs here is rescued when its lease ends")
      exit(1)
    }
  }
}
