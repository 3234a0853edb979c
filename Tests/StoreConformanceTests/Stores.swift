// The stores that all of this suite runs on. A new one is one line more.

import MartletCore
import MartletTestKit

let stores: [StoreUnderTest] = [
  .memory
]

/// When each test begins.
let start = ManualTime.start

func event(
  _ sequence: Int, _ type: TaskEventType, _ at: Timestamp, by actor: String, _ cause: String? = nil
) -> TaskEvent {
  TaskEvent(sequence: sequence, type: type, at: at, actor: actor, cause: cause)
}
