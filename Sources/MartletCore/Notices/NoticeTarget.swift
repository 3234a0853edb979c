// Who is to be told how a task ended: one entry of a task's `notify`. Clients name them, types and configuration have them as
// defaults, stores keep them with the task, and the notifier delivers to them.

/// One receiver of notices, and of which endings it hears.
public struct NoticeTarget: Sendable, Hashable {
  /// The way to it.
  public enum Address: Sendable, Hashable {
    /// An http or https URL.
    case webhook(String)
    /// `ops@example.com`
    case email(String)
  }

  public var address: Address
  /// Final states: SUCCESS, DEAD, CANCELLED; at least one.
  public var on: Set<TaskStatus>

  public init(_ address: Address, on: Set<TaskStatus> = NoticeTarget.usualEndings) {
    self.address = address
    self.on = on
  }

  public static let usualEndings: Set<TaskStatus> = [.success, .dead]

  package static let most = 16
  /// Of an address, in bytes.
  package static let longest = 2048

  /// The address as it was given.
  package var text: String {
    switch address {
    case .webhook(let text), .email(let text): text
    }
  }

  package var channel: NoticeChannel {
    switch address {
    case .webhook: .webhook
    case .email: .email
    }
  }

  /// What a slow or dead receiver blocks: scheme, host and port of a webhook; all mails go by one server.
  package var destination: String {
    switch address {
    case .email: return NoticeChannel.email.rawValue
    case .webhook(let url):
      let scheme = url.prefix { $0 != ":" }
      let rest = url.dropFirst(scheme.count + 3)
      return String(url.prefix(scheme.count + 3) + rest.prefix { !"/?#".contains($0) }).lowercased()
    }
  }

  /// What can be seen to be wrong, as the rest of a sentence; whether anything is there, only sending can tell.
  package var problem: String? {
    guard (1...Self.longest).contains(text.utf8.count) else { return "must be 1 to \(Self.longest) bytes long" }
    switch address {
    case .webhook(let url):
      let lower = url.lowercased()
      let isURL =
        (lower.hasPrefix("http://") || lower.hasPrefix("https://"))
        && url.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") }
      return isURL ? nil : "must be an http or https URL"
    case .email(let address):
      let parts = address.split(separator: "@", omittingEmptySubsequences: false)
      let isAddress =
        parts.count == 2 && !parts.contains("")
        && address.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control && $0 != " " }
      return isAddress ? nil : "must be an email address, such as ops@example.com"
    }
  }
}

extension NoticeTarget: CustomStringConvertible {
  /// `https://example.com/hook on SUCCESS, DEAD`
  public var description: String {
    "\(text) on \(TaskStatus.allCases.filter(on.contains).map(\.rawValue).joined(separator: ", "))"
  }
}

/// How a notice is brought.
package enum NoticeChannel: String, CaseIterable, Sendable, Hashable {
  case webhook
  case email
}

extension [NoticeTarget] {
  /// A bit for each state's code in which somebody is to be told; 0 where there is nobody to tell.
  package var mask: Int64 { reduce(0) { $1.on.reduce($0) { $0 | 1 << $1.code } } }
}

extension Problems {
  package mutating func checkNotify(_ targets: [NoticeTarget]?, at pointer: String = "/notify") {
    guard let targets else { return }
    if targets.count > NoticeTarget.most {
      add(pointer, "has \(targets.count) entries; at most \(NoticeTarget.most) are taken")
    }
    for (index, target) in targets.prefix(NoticeTarget.most).enumerated() {
      if let problem = target.problem { add("\(pointer)/\(index)/\(target.channel.rawValue)", problem) }
      if target.on.isEmpty || !target.on.allSatisfy(\.isFinal) {
        add("\(pointer)/\(index)/on", "must name one or more of SUCCESS, DEAD, CANCELLED")
      }
    }
  }
}
