// How the rest of the world speaks to the thread that owns a client of librdkafka: by letters and a bell. Its calls may block, and
// threads of Swift's own pool must not.

internal import Dispatch
internal import Foundation
internal import Synchronization

/// Wakes the thread. librdkafka rings it too, when it has something to tell.
final class KafkaBell: Sendable {
  private let rings = DispatchSemaphore(value: 0)

  func ring() {
    rings.signal()
  }

  /// One answer to all rings so far: whoever wakes looks at everything.
  func wait(until deadline: ContinuousClock.Instant?) {
    if let deadline {
      let left = ContinuousClock.now.duration(to: deadline)
      _ = rings.wait(timeout: .now() + max(0, left / .seconds(1)))
    } else {
      rings.wait()
    }
    while rings.wait(timeout: .now()) == .success {}
  }
}

final class KafkaMailbox<Letter: Sendable>: Sendable {
  private struct Box {
    var letters: [Letter] = []
    var isClosed = false
  }

  let bell = KafkaBell()
  private let box = Mutex(Box())

  /// False once it is closed: nobody will read the letter.
  func post(_ letter: Letter) -> Bool {
    let isTaken = box.withLock { box in
      if !box.isClosed { box.letters.append(letter) }
      return !box.isClosed
    }
    bell.ring()
    return isTaken
  }

  func take() -> [Letter] {
    box.withLock { box in
      defer { box.letters = [] }
      return box.letters
    }
  }

  /// Takes the last letters.
  func close() -> [Letter] {
    box.withLock { $0.isClosed = true }
    return take()
  }

  /// Starts the thread that reads the letters. It ends with `body`.
  static func startThread(_ name: String, _ body: @escaping @Sendable () -> Void) {
    let thread = Thread(block: body)
    thread.name = name
    thread.stackSize = 1 << 20
    thread.start()
  }
}
