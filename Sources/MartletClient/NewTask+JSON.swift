// New tasks as clients make and send them.

internal import Foundation
public import MartletCore

extension NewTask {
  /// A task whose payload is `payload` as `JSONEncoder` writes it (sorted keys).
  /// - Throws: `MartletClientError.invalidRequest` where `payload` refuses to be encoded.
  public init(type: String, encoding payload: some Encodable) throws(MartletClientError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      self.init(type: type, payload: Array(try encoder.encode(payload)))
    } catch {
      throw .invalidRequest("the payload cannot be encoded as JSON: \(error)")
    }
  }

  func json() throws(MartletClientError) -> [UInt8] {
    do throws(JSONError) {
      // Spliced into the body below: it must be one value, or it could write fields of its own.
      _ = try JSONScanner.scan(payload)
    } catch {
      throw .invalidRequest("the payload \(error.predicate)")
    }
    if let fault { throw fault }
    var writer = JSONWriter(capacity: payload.count + 256)
    write(to: &writer)
    return writer.bytes
  }

  private var fault: MartletClientError? {
    backoff.fault(besides: [
      "delaySeconds": delaySeconds, "timeoutSeconds": timeoutSeconds, "leaseSeconds": leaseSeconds,
    ])
  }
}

extension JSONError {
  /// What is to be said of a text.
  package var predicate: String {
    switch self {
    case .malformed(let offset, let what): "is not JSON: \(what), at byte \(offset)"
    case .tooDeep(let limit): "is nested deeper than \(limit) levels"
    }
  }
}
