// The node's own time of day, by which the ends of tokens and keys are judged: issuers know no other. Tasks go by the
// store's. Given to `Gate` by `HTTPServer`; tests bring their own.

internal import Foundation
package import MartletCore

package enum WallClock {
  @Sendable package static func now() -> Timestamp {
    Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
  }
}
