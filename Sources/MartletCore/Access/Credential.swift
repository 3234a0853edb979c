// Who asks, and what they may do: made by the gates of the HTTP face for each request, read by whatever has to decide by
// it. What each role may do stands with the routes, in `MartletHTTP`.

/// Roles add up.
package enum Role: String, CaseIterable, Sendable {
  case viewer, producer, worker, `operator`, admin
}

package struct Credential: Hashable, Sendable {
  /// For events and audit: `key:<name>`, `token:<sub>`, `api` where there is no authentication, or `anonymous`.
  package let actor: String
  package let roles: Set<Role>
  /// Nil: all queues there are and will be.
  package let queues: [QueuePattern]?
  /// Of the API key, where it is one that a store keeps.
  package let keyID: String?

  package init(actor: String, roles: Set<Role>, queues: [QueuePattern]? = nil, keyID: String? = nil) {
    self.actor = actor
    self.roles = roles
    self.queues = queues
    self.keyID = keyID
  }

  /// Everybody's, where there is no authentication.
  package static let unguarded = Credential(actor: Actor.api, roles: Set(Role.allCases))
  /// Of a request to an open route where there is authentication: nobody looked at what it brought.
  package static let nobody = Credential(actor: "anonymous", roles: [], queues: [])

  /// Outside its queues a submission or a lease is 403, and what is there cannot be found.
  package func mayUse(queue: String) -> Bool {
    guard let queues else { return true }
    return queues.contains { $0.matches(queue) }
  }
}

/// A queue's name, in which each `*` stands for any characters or none: `mail*`.
package struct QueuePattern: Hashable, Sendable, LosslessStringConvertible {
  package let description: String

  /// How many of them one credential may have.
  package static let limit = 100

  /// Nil unless it is 1–128 of the characters of a queue's name and `*`.
  package init?(_ text: String) {
    guard (1...128).contains(text.utf8.count), text.utf8.allSatisfy(Self.isAllowed) else { return nil }
    description = text
  }

  /// On a mismatch only the latest `*` takes one character more: at most pattern × name steps.
  package func matches(_ queue: String) -> Bool {
    let pattern = Array(description.utf8)
    let name = Array(queue.utf8)
    var at = (pattern: 0, name: 0)
    var star: (pattern: Int, name: Int)?
    while at.name < name.count {
      if at.pattern < pattern.count, pattern[at.pattern] == UInt8(ascii: "*") {
        star = at
        at.pattern += 1
      } else if at.pattern < pattern.count, pattern[at.pattern] == name[at.name] {
        at.pattern += 1
        at.name += 1
      } else if let last = star {
        star?.name += 1
        at = (last.pattern + 1, last.name + 1)
      } else {
        return false
      }
    }
    return pattern[at.pattern...].allSatisfy { $0 == UInt8(ascii: "*") }
  }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: ":"),
      UInt8(ascii: "-"), UInt8(ascii: "*"):
      true
    default: false
    }
  }
}
