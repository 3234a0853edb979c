// What operators and their tools ask for: health, version, metrics.

internal import MartletCore
internal import MartletEngine

extension API {
  /// The process runs and answers; it says nothing of the store.
  func live(_ call: Call) -> Answer {
    .json { $0.field("status", "ok") }
  }

  /// 503 when this node should get no traffic.
  func ready(_ call: Call) async -> Answer {
    var readiness = await tasks.readiness()
    if isGuarded {
      for index in readiness.components.indices where readiness.components[index].isForOperators {
        trouble.notReady(readiness.components[index].detail ?? "")
        readiness.components[index].detail = "cannot be reached or cannot write now; the log says why"
      }
    }
    return .json(status: readiness.canServe ? 200 : 503) { readiness.writeFields(to: &$0) }
  }

  func version(_ call: Call) -> Answer {
    .json { json in
      json.field("name", "martlet")
      json.field("version", versionText)
    }
  }

  /// A scrape must not fail with the store: what cannot be counted now keeps its last value.
  func metrics(_ call: Call) async throws(Problem) -> Answer {
    if let failure = await tasks.refreshGauges() { trouble.store(failure) }
    do {
      return Answer(type: .metrics, body: Array(try await renderMetrics().utf8))
    } catch {
      trouble.unexpected(error)
      throw Problem(.internal, "the metrics could not be put together")
    }
  }
}
