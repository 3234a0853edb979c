// The API's own description, as it stands in the program: docs/api/openapi.yaml and the page that shows it. Served by
// `API+Documents.swift`.

internal import CDocuments

enum Document {
  /// docs/api/openapi.yaml as JSON, without what is still to come. Made when it is first asked for.
  static let openAPI: Result<[UInt8], DocumentError> = Result { () throws(DocumentError) in
    try YAMLDocument(source).json(leavingOutPlanned: true)
  }

  /// docs/api/openapi.yaml, byte for byte.
  static var source: String { String(decoding: bytes(martlet_openapi()), as: UTF8.self) }

  static var page: [UInt8] { bytes(martlet_docs_html()) }

  /// By the name that the page asks for.
  static func file(_ name: String) -> (type: Answer.MediaType, bytes: [UInt8])? {
    switch name {
    case "docs.css": (.style, bytes(martlet_docs_css()))
    case "docs.js": (.script, bytes(martlet_docs_js()))
    default: nil
    }
  }

  /// The page takes nothing from elsewhere, runs nothing inline and talks to this server only.
  static let contentSecurityPolicy = """
    default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'
    """

  private static func bytes(_ document: martlet_document) -> [UInt8] {
    Array(UnsafeBufferPointer(start: document.bytes, count: document.count))
  }
}
