// Who gets in, from outside: keys that work on all nodes and die on all of them, tokens, certificates, and what a server without
// any of it refuses.

internal import Foundation
internal import MartletCore
internal import NIOHTTP1
internal import PostgresServer
internal import ScriptedServer
internal import Testing

extension EndToEnd {
  @Suite("Gates", .timeLimit(.minutes(20)))
  struct GateTests {
    private static let bootstrap = "the-first-key-of-this-installation"
    private static let auth = ["MARTLET_AUTH_BOOTSTRAP_KEY": bootstrap]

    @Test func `without auth a server listens to its own machine only, and says what to set`() async throws {
      try await Scene.play { scene in
        for host in ["0.0.0.0", "::", "192.0.2.1"] {
          let words = "(--host): would let everybody in, since there is no auth: set auth.jwt.secret"
          try await scene.refuses(["serve", "--port", "0", "--host", host], words, status: 2)
        }
        let server = try await scene.serve(["--host", "0.0.0.0"], environment: Self.auth)
        #expect(server.program.errors.contains("without server.tls credentials cross the network as they are"))
        let port = server.api.address.split(separator: ":").last.map(String.init) ?? ""
        let local = API(address: "http://127.0.0.1:\(port)")
        #expect(try await local.get("/version").status == 200)
        #expect(try await local.get("/tasks").status == 401)
        #expect(try await API(address: local.address, key: Self.bootstrap).get("/tasks").status == 200)
        #expect(try await server.stop() == .exited(0))
      }
    }

    @Test func `a page of elsewhere reaches no server without auth by a name of its own`() async throws {
      try await Scene.play { scene in
        for (environment, isServed) in [([:], false), (Self.auth, true)] {
          let server = try await scene.serve(["--database", "sqlite::memory:"], environment: environment)
          func status(_ host: String, _ target: String) async throws -> String {
            let (ending, program) = try await scene.run(
              Tool.installed("curl"),
              [
                "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: \(host)", "-H",
                "X-API-Key: \(Self.bootstrap)",
                server.api.address + target,
              ])
            #expect(ending == .exited(0), "\(program.errors)")
            return program.output
          }
          for target in ["/tasks", "/version"] {
            #expect(try await status("rebound.example:8080", target) == (isServed ? "200" : "403"))
            #expect(try await status("localhost:1", target) == "200")
          }
          #expect(try await server.stop() == .exited(0))
        }
      }
    }

    @Test func `secrets are in nothing that a server says`() async throws {
      try await Scene.play { scene in
        let secret = "a-secret-of-thirty-two-bytes-or-more"
        var environment = Self.auth
        environment["MARTLET_AUTH_JWT_SECRET"] = secret
        environment["MARTLET_LOG_LEVEL"] = "trace"
        let server = try await scene.serve([], environment: environment)
        let made = try await API(address: server.api.address, key: Self.bootstrap).post(
          "/api-keys", #"{"name":"a","roles":["viewer"]}"#)
        let key = try #require(try made.json()["key"]?.string)
        #expect(try await API(address: server.api.address, key: key).get("/tasks").status == 200)
        let show = try await scene.martlet(["config", "show", "--json"], environment: environment)
        #expect(show.ending == .exited(0))
        _ = try await server.stop()
        let file = FileManager.default.contents(atPath: scene.file("martlet.db").path) ?? Data()
        for hidden in [secret, Self.bootstrap, key] {
          for text in [server.program.output, server.program.errors, show.program.output] {
            #expect(!text.contains(hidden))
          }
          #expect(file.range(of: Data(hidden.utf8)) == nil)
        }
      }
    }

    @Test func `the first key is made beside a running server, and works and dies without a restart`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve([], environment: ["MARTLET_AUTH_API_KEYS": "true"])
        let database = ["--database", "sqlite:martlet.db"]
        let made = try await scene.martlet(["keys", "create", "ops", "--role", "admin"] + database)
        #expect(made.ending == .exited(0), "\(made.program.errors)")
        let key = made.program.output.trimmingCharacters(in: .whitespacesAndNewlines)
        let at = ["--server", server.api.address]
        try await scene.refuses(["tasks", "list"] + at, "set MARTLET_API_KEY or MARTLET_TOKEN", status: 5)
        let wrong = ["MARTLET_API_KEY": "mk_nonsense"]
        try await scene.refuses(["tasks", "list"] + at, "mistyped", status: 5, environment: wrong)
        let mine = ["MARTLET_API_KEY": key]
        let submitted = try await scene.martlet(
          ["submit", "email", "--payload", #"{"to":"a@b.c","subject":"s"}"#] + at, environment: mine)
        #expect(submitted.ending == .exited(0), "\(submitted.program.errors)")
        let viewer = try await scene.martlet(["keys", "create", "eyes", "--role", "viewer"] + at, environment: mine)
        let eyes = ["MARTLET_API_KEY": viewer.program.output.trimmingCharacters(in: .whitespacesAndNewlines)]
        #expect(try await scene.martlet(["tasks", "list"] + at, environment: eyes).ending == .exited(0))
        try await scene.refuses(["submit", "email"] + at, "roles do not allow this", status: 5, environment: eyes)

        let list = try await scene.martlet(["keys", "list", "--json"] + database)
        let keys = try JSONScanner.scan(Array(list.program.output.utf8))["data"]?.elements ?? []
        #expect(keys.compactMap { $0["name"]?.string } == ["ops", "eyes"])
        let id = try #require(keys.first?["id"]?.string)
        #expect(try await scene.martlet(["keys", "revoke", id] + database).ending == .exited(0))
        let api = API(address: server.api.address, key: key)
        try await eventually("the key is dead") { try await api.get("/tasks").status == 401 }
        #expect(try await server.stop() == .exited(0))
      }
    }

    @Test func `a key of one node is good on the others and after a restart, and dead on all once it is revoked`()
      async throws
    {
      try await Scene.play { scene in
        let postgres = try await scene.postgres()
        let database = ["--database", postgres.url()]
        func start() async throws -> Server { try await scene.serve(database, environment: Self.auth) }
        let (one, two) = (try await start(), try await start())
        let boss = API(address: one.api.address, key: Self.bootstrap)
        let made = try await boss.post("/api-keys", #"{"name":"shop","roles":["producer"]}"#)
        let key = try #require(try made.json()["key"]?.string)
        let id = try #require(try made.json()["id"]?.string)
        for node in [one, two] {
          let api = API(address: node.api.address, key: key)
          #expect(try await api.post("/tasks", #"{"type":"a"}"#).status == 201)
        }
        _ = try await two.stop()
        let third = try await start()
        #expect(try await API(address: third.api.address, key: key).get("/tasks").status == 200)
        #expect(try await boss.delete("/api-keys/\(id)").status == 200)
        let revoked = ContinuousClock.now
        for node in [one, third] {
          let api = API(address: node.api.address, key: key)
          try await eventually("the key is dead") { try await api.get("/tasks").status == 401 }
        }
        // Five seconds by the contract; the rest is the machine's.
        #expect(ContinuousClock.now - revoked < .seconds(30))
        let audit = try await boss.found("/audit")["data"]?.elements ?? []
        #expect(audit.compactMap { $0["action"]?.string } == ["key.revoke", "key.create"])
        #expect(audit.allSatisfy { $0["actor"]?.string == "key:bootstrap" && $0["target"]?.string == id })
      }
    }

    @Test func `keys are made beside servers over PostgreSQL too`() async throws {
      try await Scene.play { scene in
        let postgres = try await scene.postgres()
        let database = ["--database", postgres.url()]
        let first = try await scene.martlet(["keys", "create", "early", "--role", "admin"] + database)
        #expect(first.ending == .exited(0), "\(first.program.errors)")
        let server = try await scene.serve(database, environment: ["MARTLET_AUTH_API_KEYS": "true"])
        let second = try await scene.martlet(["keys", "create", "late", "--role", "viewer"] + database)
        for run in [first, second] {
          let key = run.program.output.trimmingCharacters(in: .whitespacesAndNewlines)
          #expect(try await API(address: server.api.address, key: key).get("/tasks").status == 200)
        }
      }
    }

    @Test func `a token of martlet token is taken, for what it says and by its issuer's name`() async throws {
      try await Scene.play { scene in
        let environment = [
          "MARTLET_AUTH_JWT_SECRET": "a-secret-of-thirty-two-bytes-or-more", "MARTLET_AUTH_JWT_ISSUER": "me",
          "MARTLET_AUTH_JWT_AUDIENCE": "you",
        ]
        let server = try await scene.serve([], environment: environment)
        let at = ["--server", server.api.address]
        func token(_ arguments: [String], _ more: [String: String] = [:]) async throws -> [String: String] {
          let run = try await scene.martlet(["token"] + arguments, environment: environment.merging(more) { $1 })
          #expect(run.ending == .exited(0))
          return ["MARTLET_TOKEN": run.program.output.trimmingCharacters(in: .whitespacesAndNewlines)]
        }
        let mail = try await token(["--role", "producer", "--queue", "mail*"])
        let inside = try await scene.martlet(["submit", "a", "--queue", "mail"] + at, environment: mail)
        #expect(inside.ending == .exited(0), "\(inside.program.errors)")
        try await scene.refuses(["submit", "a"] + at, "bound to other queues", status: 5, environment: mail)
        let short = try await token(["--role", "viewer", "--expires", "1"])
        try await eventually("the token has expired") {
          try await scene.martlet(["stats"] + at, environment: short).ending == .exited(5)
        }
        let foreign = try await token(["--role", "viewer"], ["MARTLET_AUTH_JWT_ISSUER": "somebody"])
        try await scene.refuses(["stats"] + at, "issuer", status: 5, environment: foreign)
      }
    }

    @Test func `what martlet work runs sees no credential`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve([], environment: ["MARTLET_AUTH_API_KEYS": "true"])
        let made = try await scene.martlet(
          ["keys", "create", "w", "--role", "worker", "--role", "producer", "--database", "sqlite:martlet.db"])
        let key = made.program.output.trimmingCharacters(in: .whitespacesAndNewlines)
        let worker = try scene.start(
          Tool.built("martlet"),
          ["work", "--type", "env", "--queue", "default", "--server", server.api.address, "--", "env"],
          environment: ["MARTLET_API_KEY": key, "MARTLET_TOKEN": "t"])
        let api = API(address: server.api.address, key: key)
        let id = try await api.submit(#"{"type":"env"}"#)
        let task = try await api.task(id, becomes: "SUCCESS")
        let result = task["result"]?.string ?? ""
        #expect(result.contains("MARTLET_TASK_ID=\(id)"))
        #expect(!result.contains(key) && !result.contains("API_KEY") && !result.contains("MARTLET_TOKEN"))
        worker.signal(SIGTERM)
        #expect(try await worker.ended() == .exited(0))
      }
    }

    @Test func `over TLS curl is answered, and a renewed certificate is shown without a restart`() async throws {
      try await Scene.play { scene in
        let (old, new) = (try await SelfSigned(), try await SelfSigned())
        let files = try old.write(to: scene.folder.path)
        var environment = Self.auth
        environment["MARTLET_SERVER_TLS_CERTIFICATE"] = files.certificate
        environment["MARTLET_SERVER_TLS_KEY"] = files.key
        let server = try await scene.serve(["--host", "0.0.0.0"], environment: environment)
        #expect(server.api.address.hasPrefix("https://"))
        #expect(!server.program.errors.contains("without server.tls"))
        let port = server.api.address.split(separator: ":").last.map(String.init) ?? ""
        func trusts(_ certificate: SelfSigned) async throws -> Bool {
          let file = scene.file("trusted-\(UUID()).pem")
          try Data(certificate.certificate.utf8).write(to: file)
          let (ending, program) = try await scene.run(
            Tool.installed("curl"),
            ["-sS", "--cacert", file.path, "-H", "X-API-Key: \(Self.bootstrap)", "https://localhost:\(port)/tasks"])
          return ending == .exited(0) && program.output.contains(#""data":[]"#)
        }
        #expect(try await trusts(old))
        #expect(try await !trusts(new))
        // Who does not trust the certificate is told so, and one who speaks without TLS gets nothing.
        try await scene.refuses(
          ["stats", "--server", "https://localhost:\(port)"], "the server's certificate is not trusted here", status: 3)
        try await scene.refuses(["stats", "--server", "http://localhost:\(port)"], "localhost", status: 3)
        _ = try new.write(to: scene.folder.path)
        try await eventually("the new certificate is shown") { try await trusts(new) }
        #expect(try await server.stop() == .exited(0))

        try Data(old.key.utf8).write(to: URL(fileURLWithPath: files.key))
        try await scene.refuses(
          ["serve", "--port", "0"], "server.tls.key = \"\(files.key)\" (MARTLET_SERVER_TLS_KEY): is not the key of",
          status: 2, environment: environment)
      }
    }
  }
}
