// The document and its page, as they are served.

internal import Foundation
internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

@Suite struct DocsTests {
  @Test func `the document is served as JSON`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.get("/openapi.json")
      #expect(reply.status == 200)
      #expect(reply.header("content-type") == "application/json")
      #expect(try reply.string("openapi").hasPrefix("3.1"))
    }
  }

  @Test func `the root leads to the page`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.get("/")
      #expect(reply.status == 303)
      #expect(reply.header("location") == "/docs")
      #expect(try reply.string("name") == "martlet")
      #expect(try reply.string("documentation") == "/docs")
    }
  }

  @Test(arguments: [
    ("/docs", "text/html; charset=utf-8"), ("/docs/docs.css", "text/css; charset=utf-8"),
    ("/docs/docs.js", "text/javascript; charset=utf-8"),
  ])
  func `the page and its files are served under a strict policy`(target: String, type: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.get(target)
      #expect(reply.status == 200)
      #expect(reply.header("content-type") == type)
      #expect(reply.header("x-content-type-options") == "nosniff")
      let policy = try #require(reply.header("content-security-policy"))
      #expect(policy.contains("default-src 'none'"))
      #expect(policy.contains("connect-src 'self'"))
      #expect(!policy.contains("unsafe") && !policy.contains("http"))
      try await harness.get(target + "/nothing").expectProblem(404, "not-found")
    }
  }

  @Test(arguments: ["docs.html", "..", "%2e%2e%2fdocs.html", "docs.css%00", "documents.c"])
  func `nothing else is served beside the page`(name: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.get("/docs/\(name)")
      #expect([400, 404].contains(reply.status))
    }
  }

  @Test func `the page takes nothing from elsewhere and has nothing inline`() throws {
    let page = String(decoding: Document.page, as: UTF8.self)
    let script = String(decoding: try #require(Document.file("docs.js")).bytes, as: UTF8.self)
    let style = String(decoding: try #require(Document.file("docs.css")).bytes, as: UTF8.self)
    for text in [page, script, style] {
      #expect(!text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"))
    }
    #expect(page.firstMatch(of: /\s(on[a-z]+|style)=/) == nil)
    #expect(page.matches(of: /<script/).count == page.matches(of: /<script src="docs\//).count)
    #expect(!page.contains("<style"))
    for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "Storage"] {
      #expect(!script.contains(way), "\(way)")
    }
  }

  @Test func `document and page need no credential`() async throws {
    try await HTTPHarness.run(configure: {
      $0.auth = AuthConfiguration(bootstrapKey: String(repeating: "k", count: 32))
    }) {
      harness in
      for target in ["/", "/docs", "/docs/docs.js", "/openapi.json"] {
        let reply = try await harness.get(target)
        #expect([200, 303].contains(reply.status))
      }
    }
  }
}
