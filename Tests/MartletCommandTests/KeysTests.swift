// API keys and tokens from the command line: over HTTP, and straight in a database.

import Foundation
import MartletCore
import ScriptedServer
import Testing

@Suite("keys and token")
struct KeysTests {
  private static let id = Fixtures.id.description
  private static let json = """
    {"id":"\(id)","key":"mk_secret","name":"shop","roles":["producer"],"queues":["mail*"],"expiresAt":null,\
    "createdAt":"2026-02-01T10:00:00.000Z","lastUsedAt":null}
    """

  @Test("create asks for what was said, and prints the key alone on standard output")
  func create() async throws {
    let (run, requests) = try await Program.run([
      "keys", "create", "shop", "--role", "producer", "--role", "viewer", "--queue", "mail*", "--api-key", "mk_boss",
    ]) { _, _ in .json(201, Self.json) }
    #expect(run.status == 0)
    #expect(run.output == "mk_secret\n")
    #expect(run.errors == "id \(Self.id); the key is shown only now:\n")
    let request = try #require(requests.first)
    #expect(request.method == "POST" && request.target == "/api-keys" && request.headers["x-api-key"] == "mk_boss")
    #expect(request.text == #"{"name":"shop","roles":["producer","viewer"],"queues":["mail*"]}"#)
  }

  @Test("what the server refuses is told by the options")
  func refused() async throws {
    let (run, _) = try await Program.run(["keys", "create", "a", "--role", "boss"]) { _, _ in
      .problem(
        422,
        #"{"status":422,"code":"invalid","title":"The request is not valid","detail":"x","errors":[{"pointer":"/roles/0","detail":"is none"},{"pointer":"/queues/1","detail":"is no pattern"},{"pointer":"/expiresAt","detail":"is past"}]}"#
      )
    }
    #expect(run.status != 0)
    for words in ["--role is none", "--queue is no pattern", "--expires is past"] {
      #expect(run.errors.contains(words), "\(run.errors)")
    }
    #expect(!run.errors.contains("/roles"))
  }

  @Test("create --expires counts from now")
  func expiry() async throws {
    let before = Date()
    let (run, requests) = try await Program.run(["keys", "create", "a", "--role", "viewer", "--expires", "1d"]) {
      _, _ in
      .json(201, Self.json)
    }
    #expect(run.status == 0)
    let body = try JSONScanner.scan(try #require(requests.first).body)
    let end = try #require(body["expiresAt"]?.string.flatMap(Timestamp.init))
    let seconds = Double(end.milliseconds) / 1000 - before.timeIntervalSince1970
    #expect((86_399...86_460).contains(seconds))
  }

  @Test("list shows a row for each key")
  func list() async throws {
    let (run, _) = try await Program.run(["keys", "list"]) { _, _ in .json(200, Fixtures.list([Self.json])) }
    #expect(run.output.contains(Self.id) && run.output.contains("mail*") && run.output.contains("never"))
    #expect(!run.output.contains("mk_secret"))
    let (none, _) = try await Program.run(["keys", "list"]) { _, _ in .json(200, Fixtures.list([])) }
    #expect(none.output == "no keys\n")
  }

  @Test("revoke names the key, and an id that is not there is exit code 4")
  func revoke() async throws {
    let (run, requests) = try await Program.run(["keys", "revoke", Self.id]) { _, _ in .json(200, Self.json) }
    #expect(run.output == "revoked \(Self.id) (shop)\n")
    #expect(requests.first?.method == "DELETE" && requests.first?.target == "/api-keys/\(Self.id)")
    let (missing, _) = try await Program.run(["keys", "revoke", "a/../b"]) { request, _ in
      request.target == "/api-keys/a%2F..%2Fb"
        ? .problem(404, #"{"status":404,"code":"not-found","detail":"there is no API key"}"#) : .json(200, Self.json)
    }
    #expect(missing.status == 4 && missing.errorLines.count == 1)
    let (key, asked) = try await Program.run(["keys", "revoke", "mk_abc"]) { _, _ in .json(200, Self.json) }
    #expect(key.status == 2 && asked.isEmpty && !key.errors.contains("mk_abc"))
  }

  @Test(
    "who may not is told so in one line, exit code 5",
    arguments: [
      #"{"status":401,"code":"unauthenticated","detail":"the token has expired"}"#,
      #"{"status":403,"code":"forbidden","title":"Not allowed","detail":"the credential is bound to other queues","errors":[{"pointer":"/queue","detail":"is not one"}]}"#,
    ])
  func refused(json: String) async throws {
    let status = json.contains("401") ? 401 : 403
    for command in [["keys", "list"], ["submit", "a"], ["tasks", "list"], ["queues", "list"], ["stats"]] {
      let (run, _) = try await Program.run(command) { _, _ in .problem(status, json) }
      #expect(run.status == 5 && run.errorLines.count == 1 && run.output == "")
      #expect(
        run.errors.contains(status == 401 ? "the token has expired (set MARTLET_API_KEY" : "bound to other queues"))
    }
  }

  @Test(
    "what is missing or wrong is told before anybody is asked",
    arguments: [
      (["keys", "create", "a"], "--role is missing"), (["keys", "create"], "name"),
      (["keys", "create", "a", "--role", "viewer", "--expires", "0"], "--expires"),
      (["token"], "--role is missing"), (["token", "--role", "boss"], "'boss' is none of viewer"),
      (["token", "--role", "viewer", "--queue", "a b"], "'a b' must be"),
      (["token", "--role", "viewer"], "auth.jwt.secret is not set (MARTLET_AUTH_JWT_SECRET)"),
    ])
  func usage(arguments: [String], words: String) async throws {
    let run = try await Program.run(arguments, server: "http://127.0.0.1:1")
    #expect(run.status == 2 && run.errorLines.count == 1 && run.errors.contains(words), "\(run.errors)")
  }

  @Test("a token has what was asked for, and what the settings ask for")
  func token() async throws {
    let secret = "a-secret-of-thirty-two-bytes-or-more"
    let run = try await Program.run(
      ["token", "--role", "worker", "--role", "viewer", "--queue", "mail*", "--expires", "10m", "--subject", "ann"],
      server: "",
      environment: [
        "MARTLET_AUTH_JWT_SECRET": secret, "MARTLET_AUTH_JWT_ISSUER": "me", "MARTLET_AUTH_JWT_AUDIENCE": "you",
      ])
    #expect(run.status == 0 && run.errors == "")
    let parts = run.output.split(separator: "\n")[0].split(separator: ".")
    #expect(parts.count == 3)
    var text = String(parts[1]).replacing("-", with: "+").replacing("_", with: "/")
    while text.count % 4 != 0 { text += "=" }
    let claims = try JSONScanner.scan(Array(try #require(Data(base64Encoded: String(text)))))
    #expect(claims["sub"]?.string == "ann" && claims["iss"]?.string == "me" && claims["aud"]?.string == "you")
    #expect(claims["roles"]?.elements?.compactMap(\.string) == ["viewer", "worker"])
    #expect(claims["queues"]?.elements?.compactMap(\.string) == ["mail*"])
    let (issued, expires) = (try #require(claims["iat"]?.int), try #require(claims["exp"]?.int))
    #expect((599...600).contains(expires - issued))
    #expect(!run.output.contains(secret))
  }

  @Test("with --database keys are made, listed and revoked without a server")
  func direct() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let database = ["--database", "sqlite:\(folder.path)/m.db"]
    let none = try await Program.run(["keys", "list"] + database, server: "")
    #expect(none.status == 1 && none.errors.contains("there is no database of martlet at"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)

    let made = try await Program.run(["keys", "create", "first", "--role", "admin"] + database, server: "")
    #expect(made.status == 0, "\(made.errors)")
    #expect(made.output.hasPrefix("mk_") && made.output.count == 53)
    #expect(made.errors.contains("created the database \(folder.path)/m.db"))
    let list = try await Program.run(["keys", "list", "--json"] + database, server: "")
    let keys = try JSONScanner.scan(Array(list.output.utf8))["data"]?.elements ?? []
    #expect(keys.count == 1 && keys[0]["name"]?.string == "first" && keys[0]["key"] == nil)
    let id = try #require(keys.first?["id"]?.string)
    let wrong = try await Program.run(["keys", "create", "", "--role", "boss"] + database, server: "")
    #expect(
      wrong.status == 2 && wrong.errors.contains("name must be") && wrong.errors.contains("--role must be one of"))
    let missing = try await Program.run(["keys", "revoke", "nobody"] + database, server: "")
    #expect(missing.status == 4 && missing.errorLines.count == 1)
    let revoked = try await Program.run(["keys", "revoke", id] + database, server: "")
    #expect(revoked.status == 0 && revoked.output == "revoked \(id) (first)\n")
    #expect(try await Program.run(["keys", "list"] + database, server: "").output == "no keys\n")
  }
}
