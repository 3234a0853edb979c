// Over TLS and with a password: as libpq has them, through our non-blocking connecting.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

@testable internal import MartletPostgres

@Suite(.timeLimit(.minutes(10))) struct TLSTests {
  /// A server with a certificate for `localhost`, made just now, and a role `locked` that needs the password `secret`.
  private func withServer(_ body: (_ server: PostgresServer, _ certificate: String) async throws -> Void) async throws {
    let server = try await PostgresServer.start(durable: false)
    let data = server.dataFolder
    let (certificate, key) = (data.appendingPathComponent("server.crt"), data.appendingPathComponent("server.key"))
    try await runProgram(
      "/usr/bin/openssl",
      [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost", "-out", certificate.path, "-keyout", key.path,
      ])
    let owner = try FileManager.default.attributesOfItem(atPath: data.path)[.ownerAccountID] ?? 0
    for file in [certificate, key] {
      try FileManager.default.setAttributes(
        [.ownerAccountID: owner, .posixPermissions: 0o600], ofItemAtPath: file.path)
    }
    try Data(
      """
      hostssl all locked 127.0.0.1/32 scram-sha-256
      host all locked 127.0.0.1/32 reject
      host all all 127.0.0.1/32 trust
      """.utf8
    ).write(to: data.appendingPathComponent("pg_hba.conf"), options: [])
    _ = try await server.query("CREATE ROLE locked LOGIN PASSWORD 'secret'")
    _ = try await server.query("ALTER SYSTEM SET ssl = on")
    _ = try await server.query("SELECT pg_reload_conf()")
    while try await server.query("SHOW ssl") != [["on"]] { await Task.yield() }
    try await body(server, certificate.path)
    await server.remove()
  }

  private func url(_ server: PostgresServer, password: String = ":secret", host: String = "localhost", _ tls: String)
    -> String
  {
    "postgres://locked\(password)@\(host):\(server.port)/postgres?hostaddr=127.0.0.1&\(tls)"
  }

  private func connect(_ url: String) async throws -> StoreError? {
    let pool = ConnectionPool(
      try ConnectionSettings(url: url, schema: schema, limits: .patient), size: 1, report: { _ in })
    defer { Task { await pool.close() } }
    do throws(StoreError) {
      try await pool.connect()
      return nil
    } catch {
      return error
    }
  }

  @Test func `A connection is encrypted, and the server's certificate is looked at`() async throws {
    try await withServer { server, certificate in
      for tls in ["sslmode=require", "sslmode=verify-full&sslrootcert=\(certificate)"] {
        try await withPool(url(server, tls)) { pool in
          let version = try await pool.run("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").first {
            $0.text()
          }
          #expect(version == "TLSv1.3")
          let size = try await pool.run(Query(Statement("big", "SELECT repeat($1, 1000000)"), .text("x"))).first {
            $0.text().count
          }
          #expect(size == 1_000_000)
          let lost = Query(Statement("suicide", "SELECT pg_terminate_backend(pg_backend_pid())"))
          await #expect(throws: PostgresFailure.self) { try await pool.run(lost) }
          let answer = try await pool.int("SELECT 1")
          #expect(answer == 1)
        }
      }
      let place = "connection to server at \"127.0.0.1\", port \(server.port) failed"
      let wrong = try await connect(url(server, password: ":wrong", "sslmode=require"))
      #expect(wrong == .unusable("\(place): FATAL: password authentication failed for user \"locked\""))
      let missing = try await connect(url(server, password: "", "sslmode=require"))
      #expect(missing == .unusable("\(place): fe_sendauth: no password supplied"))
      let other = try await connect(url(server, host: "elsewhere", "sslmode=verify-full&sslrootcert=\(certificate)"))
      let words = "server certificate for \"localhost\" does not match host name \"elsewhere\""
      #expect(other == .unusable("\(place): \(words)"))
      for tls in [
        "sslmode=verify-ca&sslrootcert=/no/file", "sslmode=verify-ca&sslrootcert=/etc/ssl/certs/ca-certificates.crt",
      ] {
        let error = try await connect(url(server, tls))
        guard case .unusable(let reason)? = error, !reason.contains("\n"), !reason.contains("secret") else {
          Issue.record("\(String(describing: error))")
          continue
        }
      }
    }
  }
}
