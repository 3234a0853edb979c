// A queue's settings in one line. Pure.

internal import MartletClient

enum QueueSheet {
  /// `paused, concurrency 5, rate 10/s (burst 20)`; what is not limited is not named.
  static func settings(of queue: QueueState) -> String {
    var words: [String] = queue.paused ? ["paused"] : []
    if let concurrency = queue.concurrency { words.append("concurrency \(concurrency)") }
    words.append(queue.concurrencyPerKey.map { "\($0) per key" } ?? "any number per key")
    if let rate = queue.ratePerSecond {
      words.append("rate \(Format.number(rate))/s" + (queue.burst.map { " (burst \($0))" } ?? ""))
    }
    if let maxDepth = queue.maxDepth { words.append("at most \(maxDepth) waiting") }
    if let notify = queue.notify {
      words.append("notices to " + (notify.isEmpty ? "nobody" : notify.map(\.text).joined(separator: ", ")))
    }
    return words.joined(separator: ", ")
  }
}
