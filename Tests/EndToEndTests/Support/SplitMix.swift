// Random numbers that a seed repeats.

internal import Foundation

struct SplitMix: RandomNumberGenerator, Sendable {
  var state: UInt64

  init(seed: UInt64) {
    state = seed
  }

  /// The seed that an environment variable asks for, or a fresh one; said on standard output, so that a run can be repeated.
  static func seed(from variable: String) -> UInt64 {
    let seed = ProcessInfo.processInfo.environment[variable].flatMap { UInt64($0) } ?? .random(in: 0...(.max))
    print("\(variable)=\(seed)")
    return seed
  }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
