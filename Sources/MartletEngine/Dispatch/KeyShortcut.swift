// Repeated submissions answered without a transaction: what was stored under a key lately is remembered beside the store, for all
// nodes. Only a shortcut: a task is answered only as it stands in the store, and what is not remembered the unique index judges.

internal import MartletCore
internal import Synchronization

final class KeyShortcut: Sendable {
  private let memory: any KeyMemory
  private let parts: EngineParts
  private let alarm = Alarm()
  private let news = Mutex<[(text: String, known: KnownKey)]>([])

  /// Repetitions come soon, if they come.
  private static let longest = Duration.seconds(3600)
  private static let mostNews = 10_000

  init(_ memory: any KeyMemory, _ parts: EngineParts) {
    self.memory = memory
    self.parts = parts
  }

  /// The tasks that a submission stands for, in its order; nil where that is not known for certain.
  func tasks(of submission: Submission) async -> [TaskID]? {
    guard let key = Self.onlyKey(of: submission) else { return nil }
    do throws(AcceleratorFailure) {
      guard let known = try await memory.find(key.text), known.fingerprint == key.fingerprint,
        known.tasks.count == submission.tasks.count
      else { return nil }
      return known.tasks
    } catch {
      return nil
    }
  }

  /// It is stored.
  func remember(_ submission: Submission, as verdict: SubmissionVerdict) {
    guard let key = Self.onlyKey(of: submission) else { return }
    let tasks: [TaskID]
    switch verdict {
    case .accepted: tasks = submission.tasks.map(\.id)
    case .replayed(_, let earlier): tasks = submission.tasks.indices.map { earlier[$0] ?? submission.tasks[$0].id }
    default: return
    }
    news.withLock { news in
      if news.count < Self.mostNews {
        news.append((key.text, KnownKey(fingerprint: key.fingerprint, tasks: tasks)))
      }
    }
    alarm.ring()
  }

  /// Until cancelled.
  func run() async {
    while !Task.isCancelled {
      let news = news.withLock { news in
        defer { news = [] }
        return news
      }
      guard !news.isEmpty else {
        await alarm.wait()
        continue
      }
      do throws(AcceleratorFailure) {
        try await memory.remember(news, for: min(parts.keyRetention, Self.longest))
      } catch {}  // the store remembers
    }
  }

  /// Where one key covers all.
  private static func onlyKey(of submission: Submission) -> IdempotencyKey? {
    guard submission.keys.count == 1, let key = submission.keys.first, key.tasks.count == submission.tasks.count
    else { return nil }
    return key
  }
}
