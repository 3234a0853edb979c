// Leases in the server's words, and a source of work over a scripted server.

internal import Logging
internal import MartletClient
internal import MartletCore
internal import MartletEngine
internal import ScriptedServer
internal import Synchronization

enum Leases {
  static func id(_ number: Int, attempt: Int = 1) -> LeaseID {
    LeaseID(task: TaskID(high: UInt64(number) << 16 | 0x7000, low: 1 << 63), attempt: attempt, token: 7)
  }

  static func lease(
    _ number: Int, type: String = "resize", payload: String = "{}", lease seconds: Double = 30, timeout: Double = 300,
    trace: String = "null"
  ) -> String {
    """
    {"leaseId":"\(id(number))","attempt":1,"expiresAt":"2026-02-01T10:00:30.000Z","expiresInSeconds":\(seconds),\
    "task":{"id":"\(id(number).task)","type":"\(type)","queue":"images","status":"RUNNING","priority":7,\
    "payload":\(payload),"attempt":1,"maxAttempts":4,"retriesLeft":3,"timeoutSeconds":\(timeout),\
    "leaseSeconds":\(seconds),"createdAt":"2026-02-01T09:00:00.000Z","runAt":null,\
    "availableAt":"2026-02-01T09:30:00.000Z","startedAt":"2026-02-01T10:00:00.000Z","tags":["a"],\
    "metadata":{"k":"v"},"traceparent":\(trace)}}
    """
  }

  static func answer(_ leases: [String], held: Double = 0) -> ScriptedAnswer {
    .json(200, #"{"heldSeconds":\#(held),"leases":[\#(leases.joined(separator: ","))]}"#)
  }

  static func applied(_ request: ScriptedRequest, status: String = "SUCCESS") -> ScriptedAnswer {
    let results = (try? JSONScanner.scan(request.body, maxDepth: 128))?["results"]?.elements ?? []
    let data = results.map { result in
      let lease = result["leaseId"]?.string ?? ""
      return """
        {"leaseId":"\(lease)","state":"APPLIED","task":{"id":"\(lease.prefix(36))","status":"\(status)"}}
        """
    }
    return .json(200, #"{"data":[\#(data.joined(separator: ","))]}"#)
  }

  static func renewed(_ request: ScriptedRequest, state: String = "RENEWED", seconds: Double = 30) -> ScriptedAnswer {
    let leases = (try? JSONScanner.scan(request.body))?["leases"]?.elements ?? []
    let data = leases.map { lease in
      """
      {"leaseId":"\(lease["leaseId"]?.string ?? "")","state":"\(state)",\
      "expiresAt":"2026-02-01T10:01:00.000Z","expiresInSeconds":\(seconds)}
      """
    }
    return .json(200, #"{"data":[\#(data.joined(separator: ","))]}"#)
  }
}

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// Runs `body` with a source of work over a scripted server.
func withSource(
  script: @escaping ScriptedServer.Script,
  _ body: (RemoteWorkSource, ScriptedServer, Refusals) async throws -> Void
) async throws {
  var options = MartletClient.Options()
  options.retries.whileUnreachable = .milliseconds(300)
  try await withClient(options: options, script: script) { client, server in
    let refusals = Refusals()
    let source = RemoteWorkSource(client, clock: SystemClock(), logger: quietLogger) { refusals.note($0) }
    try await body(source, server, refusals)
  }
}

final class Refusals: Sendable {
  private let noted = Mutex<[MartletClientError]>([])
  var all: [MartletClientError] { noted.withLock { $0 } }
  func note(_ error: MartletClientError) { noted.withLock { $0.append(error) } }
}
