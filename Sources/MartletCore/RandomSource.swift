// The only door through which randomness enters: ids, lease tokens and jitter. Production uses the system's generator,
// tests and simulation a seeded one.

internal import Glibc
internal import Synchronization

/// A generator that may be shared between tasks.
package final class RandomSource: Sendable {
  private let seeded: Mutex<SplitMix64>
  private let isSeeded: Bool
  private let drawn = Mutex<[UInt64]>([])
  /// A draw is a system call, and costs the same for one number as for many.
  private static let drawnAtOnce = 32

  /// The operating system's cryptographically secure generator.
  package static let system = RandomSource(seed: 0, isSeeded: false)

  /// A repeatable sequence, for tests.
  package convenience init(seed: UInt64) {
    self.init(seed: seed, isSeeded: true)
  }

  private init(seed: UInt64, isSeeded: Bool) {
    seeded = Mutex(SplitMix64(state: seed))
    self.isSeeded = isSeeded
  }

  package func next() -> UInt64 {
    guard isSeeded else {
      return drawn.withLock { drawn in
        if drawn.isEmpty { drawn = Self.draw() }
        return drawn.removeLast()
      }
    }
    return seeded.withLock { $0.next() }
  }

  private static func draw() -> [UInt64] {
    [UInt64](unsafeUninitializedCapacity: drawnAtOnce) { buffer, count in
      // Up to 256 bytes come at once or not at all (getentropy(3)).
      let bytes = UnsafeMutableRawBufferPointer(buffer)
      if getentropy(bytes.baseAddress!, bytes.count) != 0 {
        var system = SystemRandomNumberGenerator()
        for index in buffer.indices { buffer[index] = system.next() }
      }
      count = buffer.count
    }
  }

  /// Uniform in 0..<1.
  package func fraction() -> Double {
    Double(next() >> 11) * 0x1p-53
  }

  /// Uniform in 0..<bound; the bias of the modulo is below 2⁻³² for the small bounds used here.
  package func below(_ bound: Int) -> Int {
    Int(next() % UInt64(bound))
  }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
package struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(state: UInt64) {
    self.state = state
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
