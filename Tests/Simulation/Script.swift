// What handlers do in the simulation: one of a few ways to succeed, fail, dawdle or kill, told by the payload, and told to the
// judge.

internal import MartletCore
internal import MartletEngine
internal import MartletTestKit

struct Script: Codable, Sendable {
  enum Kind: String, Codable, CaseIterable, Sendable {
    case succeeds, failsOnce, failsAlways, givesUp, snoozes
    /// Does not stop when it is cancelled.
    case stubborn
    /// Kills the process that runs it.
    case poison
  }
  var kind: Kind
  var milliseconds: Int

  static func random(_ random: RandomSource, allowsPoison: Bool) -> Script {
    var kinds = Kind.allCases
    if !allowsPoison { kinds.removeAll { $0 == .poison } }
    // Mostly short, sometimes longer than any lease or timeout.
    let milliseconds = random.below(4) == 0 ? random.below(12_000) : random.below(300)
    return Script(kind: kinds[random.below(kinds.count)], milliseconds: milliseconds)
  }

  var json: [UInt8] { Array(#"{"kind":"\#(kind.rawValue)","milliseconds":\#(milliseconds)}"#.utf8) }
}

struct ScriptedHandler: TaskHandler {
  static let type = "scripted"
  let identity: SimulatedNode.Identity
  let judge: Judge

  func run(_ script: Script, context: AttemptContext) async throws -> TaskResult {
    judge.began(context, on: identity.process, isStubborn: script.kind == .stubborn)
    defer { judge.ended(context, on: identity.process) }
    // In the end all is well, so that what waited for the dead goes on when they are retried.
    let isMerciful = judge.isMerciful
    let kind = isMerciful ? .succeeds : script.kind
    try await spend(kind, .milliseconds(isMerciful ? 10 : script.milliseconds))
    switch kind {
    case .succeeds, .stubborn:
      break
    case .failsOnce where context.attempt == 1, .failsAlways:
      throw TaskFailure.retry("scripted")
    case .givesUp:
      throw TaskFailure.permanent("scripted")
    case .snoozes where context.attempt <= 2:
      return .snooze(for: .seconds(1))
    case .poison:
      judge.kill(identity.process)
      try await identity.clock.sleep(for: .seconds(3600))
    case .failsOnce, .snoozes:
      break
    }
    judge.succeeded(context, on: identity.process)
    return .done
  }

  private func spend(_ kind: Script.Kind, _ duration: Duration) async throws {
    let end = identity.clock.now + duration
    do {
      try await identity.clock.sleep(until: end)
    } catch {
      guard kind == .stubborn, !judge.isDead(identity.process) else { throw error }
      // Cancelled, and does not care: a group's child of its own would be cancelled too, so it waits in the judge's time.
      await judge.wait(until: end, on: identity)
    }
  }
}
