// The API's description: for programs at `/openapi.json`, for people at `/docs`.

internal import HTTPTypes
internal import MartletCore

extension API {
  /// `GET /openapi.json`
  func document(_ call: Call) throws(Problem) -> Answer {
    do throws(DocumentError) {
      return Answer(body: try Document.openAPI.get())
    } catch {
      trouble.unexpected(error)
      throw Problem(.internal, "the document could not be put together")
    }
  }

  /// `GET /docs`
  func docs(_ call: Call) -> Answer {
    page(.page, Document.page)
  }

  /// `GET /docs/{file}`
  func docsFile(_ call: Call) throws(Problem) -> Answer {
    guard let file = Document.file(call.parameter) else {
      throw Problem(.notFound, "there is nothing at this path")
    }
    return page(file.type, file.bytes)
  }

  /// Whoever comes with a browser is led to the page; whoever comes with a terminal reads where it is.
  func home(_ call: Call) -> Answer {
    var answer = Answer.json(status: 303) { json in
      json.field("name", "martlet")
      json.field("version", versionText)
      json.field("documentation", "/docs")
    }
    answer.fields.append((.location, "/docs"))
    return answer
  }

  private func page(_ type: Answer.MediaType, _ bytes: [UInt8]) -> Answer {
    var answer = Answer(type: type, body: bytes)
    answer.fields = [
      (.contentSecurityPolicy, Document.contentSecurityPolicy), (.xContentTypeOptions, "nosniff"),
      // Another release has another page.
      (.cacheControl, "no-cache"),
    ]
    return answer
  }
}
