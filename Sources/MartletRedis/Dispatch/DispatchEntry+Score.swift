// How entries and lanes are written in Redis.

package import MartletCore

extension DispatchEntry {
  /// The whole order in one number, least first: urgency, then time, whose 48 bits reach to the year 10,889. Below 2⁵³, up to which
  /// the doubles of Redis and Lua are exact. Among equals Redis goes by the text of the id.
  var score: Int64 {
    Int64(10 - min(max(priority, 1), 9)) << Self.timeBits | time
  }

  var time: Int64 { min(max(availableAt.milliseconds, 0), 1 << Self.timeBits - 1) }

  private static let timeBits = 48
}

extension Lane {
  /// Neither name can hold a slash.
  package var name: String { "\(queue)/\(type)" }

  package init?(name: String) {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    self.init(queue: String(parts[0]), type: String(parts[1]))
  }
}

/// What one worker would take.
package struct TakeRequest: Sendable, Hashable {
  /// `ClaimRequest.allQueues` as the queue of one stands for every queue.
  package var lanes: [Lane]
  package var limit: Int

  package init(lanes: [Lane], limit: Int) {
    self.lanes = lanes
    self.limit = limit
  }
}
