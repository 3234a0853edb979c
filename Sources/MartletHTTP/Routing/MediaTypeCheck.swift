// Whether a body says that it is JSON. Called by `Responder` before the body is read.

enum MediaTypeCheck {
  /// - Throws: 415 with the header to send.
  static func json(_ fields: HeaderFields) throws(Problem) {
    guard let type = fields.contentType, isJSON(type) else {
      let sent = fields.contentType.map { "it says '\($0)'" } ?? "it has none"
      throw Problem(.unsupportedMediaType, "send the body with the header 'Content-Type: application/json'; \(sent)")
    }
    if let encoding = fields.contentEncoding, encoding.lowercased() != "identity" {
      throw Problem(
        .unsupportedMediaType, "send the body with the header 'Content-Encoding: identity', or without one: as it is")
    }
  }

  /// `application/json`, in any case, alone or with `charset=utf-8`.
  private static func isJSON(_ type: String) -> Bool {
    if type == "application/json" { return true }
    let parts = type.lowercased().split(separator: ";", omittingEmptySubsequences: false).map { part in
      part.drop(while: isSpace).reversed().drop(while: isSpace).reversed()
    }
    guard parts[0].elementsEqual("application/json") else { return false }
    return parts.dropFirst().allSatisfy { part in
      let parameter = String(part).filter { $0 != "\"" }
      return parameter.isEmpty || parameter == "charset=utf-8" || !parameter.hasPrefix("charset=")
    }
  }

  private static func isSpace(_ character: Character) -> Bool {
    character == " " || character == "\t"
  }
}
