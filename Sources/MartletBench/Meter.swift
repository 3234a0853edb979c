// What runs in the worker of a measurement: a handler that does nothing but count and, where tasks carry the time of their
// submission, note how long each was under way.

internal import Dispatch
internal import MartletCore
internal import MartletEngine
internal import Synchronization

final class Meter: Sendable {
  private let state = Mutex((ran: 0, latencies: [Double]()))

  var ran: Int { state.withLock(\.ran) }
  /// In milliseconds.
  var latencies: [Double] { state.withLock(\.latencies) }

  func ran(_ payload: [UInt8]) {
    let now = Self.now
    let stamp = Self.stamp(of: payload)
    state.withLock { state in
      state.ran += 1
      if let stamp { state.latencies.append(Double(now - stamp) / 1e6) }
    }
  }

  /// The sample payload, with the moment at its head.
  static func stamped() -> [UInt8] {
    Array(#"{"t":\#(now),"#.utf8) + samplePayload.dropFirst()
  }

  private static func stamp(of payload: [UInt8]) -> UInt64? {
    let head = Array(#"{"t":"#.utf8)
    guard payload.starts(with: head) else { return nil }
    return payload.dropFirst(head.count).prefix { $0 != UInt8(ascii: ",") }.reduce(0) { $0 * 10 + UInt64($1 & 15) }
  }

  /// Nanoseconds of a clock that is the same in all processes of the machine.
  private static var now: UInt64 { DispatchTime.now().uptimeNanoseconds }
}

/// Does nothing, as fast as it can be told to.
struct NoOp: TaskHandler {
  static let type = "noop"
  let meter: Meter

  func run(_ payload: RawJSON, context: AttemptContext) async throws -> TaskResult {
    meter.ran(payload.bytes)
    return .done
  }
}
