// Clients by the thousand that come and say nothing, say it slowly, never end, or never listen. While they stand, others are served;
// memory stays within what is said here; and when the server has closed them, nothing of them is left.
// MARTLET_HOSTILE=1 brings more of them.

internal import Foundation
internal import MartletCore
internal import Testing

extension EndToEnd {
  @Suite("Hostile clients", .timeLimit(.minutes(40)))
  struct HostileTests {
    private static let isLong = ProcessInfo.processInfo.environment["MARTLET_HOSTILE"] == "1"
    /// Connections that do nothing.
    private static let many = isLong ? 10_000 : 2000
    /// Of each kind of slow clients.
    private static let slow = isLong ? 1000 : 200

    @Test func `clients that wait and clients that trickle cost little, keep nobody out, and are closed`() async throws
    {
      try await Scene.play { scene in
        let server = try await scene.serve()
        try await Self.work(on: server)
        let before = try Holdings(server)
        let idle = try Attack(scene, on: server, "idle", Self.many, "from=1")
        let kinds = ["head", "body", "chunks", "half-closed"]
        let slow = try kinds.enumerated().map { try Attack(scene, on: server, $1, Self.slow, "from=\(10 + $0)") }
        #expect(try await idle.stands() == Self.many)
        for attack in slow { #expect(try await attack.stands() == Self.slow, "\(attack.kind)") }
        try await eventually("the server has taken them all") {
          try Holdings(server).descriptors >= before.descriptors + Self.many
        }
        try await Self.work(on: server)
        // Of one that does nothing; the buffers of one that says something are larger.
        let bound = before.peakMegabytes + 100 + Self.many * Self.kilobytesEach / 1024
        #expect(try Holdings(server).peakMegabytes < bound)

        let outcome = try await idle.outcome()
        #expect(outcome.closedByServer == Self.many, "\(outcome)")
        var outcomes: [String: Attack.Outcome] = [:]
        for attack in slow { outcomes[attack.kind] = try await attack.outcome() }
        for (kind, outcome) in outcomes {
          #expect(outcome.connected == Self.slow && outcome.closedByServer == Self.slow, "\(outcome)")
          if kind != "half-closed" { #expect(outcome.fact("pieces") > 5 * Self.slow, "\(outcome)") }
        }
        for kind in ["body", "chunks"] { #expect(outcomes[kind]?.statuses == ["408": Self.slow], "\(outcomes)") }
        #expect(outcomes["half-closed"]?.statuses["200"] == Self.slow / 2, "\(outcomes)")
        #expect(outcomes["head"]?.statuses["200"] == nil, "\(outcomes)")
        try await Self.comesBack(server, to: before)
        #expect(try Holdings(server).peakMegabytes < bound)
      }
    }

    /// What one connection may cost.
    private static let kilobytesEach = 40

    @Test func `heads and bodies without end are refused, and what is sent in one breath is answered in order`()
      async throws
    {
      try await Scene.play { scene in
        let server = try await scene.serve()
        try await Self.work(on: server)
        let before = try Holdings(server)
        func outcome(_ kind: String, _ count: Int, _ options: String...) async throws -> Attack.Outcome {
          let attack = try Attack(scene, on: server, kind, count, options.first ?? "patience=120")
          let outcome = try await attack.outcome()
          #expect(outcome.connected == count, "\(outcome)")
          try await Self.work(on: server)
          return outcome
        }
        let factor = Self.isLong ? 5 : 1
        let heads = try await outcome("large-header", 20 * factor)
        #expect(
          heads.statuses.keys.contains("431") && Set(heads.statuses.keys).isSubset(of: ["431", Self.unanswered]),
          "\(heads)")
        let bodies = try await outcome("large-body", 20 * factor)
        #expect(
          bodies.statuses.keys.contains("413") && Set(bodies.statuses.keys).isSubset(of: ["413", Self.unanswered]),
          "\(bodies)")
        #expect(bodies.fact("megabytes") > 20 * factor, "\(bodies)")
        let brackets = try await outcome("brackets", 50 * factor)
        #expect(brackets.statuses == ["422": 100 * factor], "\(brackets)")
        let pipelined = try await outcome("pipelined", 50 * factor, "requests=200")
        #expect(pipelined.statuses == ["200": 10_000 * factor], "\(pipelined)")
        let garbage = try await outcome("garbage", 100 * factor)
        #expect(Set(garbage.statuses.keys).isSubset(of: ["400", "431", Self.unanswered]), "\(garbage)")
        let deaf = try await outcome("deaf", 20 * factor, "patience=10")
        #expect(deaf.fact("not all was taken") == 20 * factor, "\(deaf)")
        #expect(try Holdings(server).peakMegabytes < before.peakMegabytes + 400)
        #expect(try await server.api.allTasks().count == Self.worked * 7)
        try await Self.comesBack(server, to: before)
      }
    }

    /// A client that still sends may lose the answer: the connection is reset under it.
    private static let unanswered = "closed without an answer"

    @Test func `a flood of requests is answered, and so is everybody else`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        try await Self.work(on: server)
        let before = try Holdings(server)
        // A slow machine gets more time: what they want are answers.
        let flood = try Attack(scene, on: server, "flood", 100, "patience=\(Self.isLong ? 120 : 15)", "least=1001")
        try await flood.stands()
        for _ in 0..<3 { try await Self.work(on: server) }
        let outcome = try await flood.outcome()
        #expect(Set(outcome.statuses.keys) == ["200", "201"] && outcome.fact("broken") == 0, "\(outcome)")
        #expect(outcome.statuses.values.reduce(0, +) > 1000, "\(outcome)")
        #expect(try Holdings(server).peakMegabytes < before.peakMegabytes + 400)
        try await Self.comesBack(server, to: before)
      }
    }

    @Test func `handshakes that do not end are ended`() async throws {
      try await Scene.play { scene in
        let (certificate, key) = (scene.file("tls.pem"), scene.file("tls.key"))
        try await scene.system(
          "openssl",
          [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost", "-days", "2", "-keyout", key.path, "-out", certificate.path,
          ])
        let server = try await scene.serve(environment: [
          "MARTLET_SERVER_TLS_CERTIFICATE": certificate.path, "MARTLET_SERVER_TLS_KEY": key.path,
        ])
        func asks() async throws {
          let port = try #require(server.api.address.split(separator: ":").last)
          let output = try await scene.system(
            "curl", ["-sS", "--cacert", certificate.path, "--max-time", "120", "https://localhost:\(port)/version"])
          #expect(output.contains("version"))
        }
        try await asks()
        let before = try Holdings(server)
        let attack = try Attack(scene, on: server, "handshake", Self.slow * 5)
        #expect(try await attack.stands() == Self.slow * 5)
        try await asks()
        let outcome = try await attack.outcome()
        #expect(outcome.closedByServer == Self.slow * 5, "\(outcome)")
        #expect(try Holdings(server).peakMegabytes < before.peakMegabytes + 100 + Self.slow * 5 * 200 / 1024)
        try await Self.comesBack(server, to: before)
        try await asks()
      }
    }

    @Test func `with more clients than it may have files a server keeps those that it needs, and takes new ones later`()
      async throws
    {
      try await Scene.play { scene in
        // As many as systems give by default.
        let server = try await scene.serve(files: 1024)
        try await Self.work(on: server)
        let before = try Holdings(server)
        let attack = try Attack(scene, on: server, "idle", 1300, "patience=400", "crowd=yes")
        try await eventually("it has as many as it takes") { try Holdings(server).descriptors > 800 }
        // This caller has its connection already; the database and the workers have their files.
        let standing = try Holdings(server)
        #expect(standing.descriptors < 1000)
        try await Self.work(on: server)
        // The last ones stand when those before them have been closed.
        #expect(try await attack.stands() == 1300)
        let outcome = try await attack.outcome()
        #expect(outcome.closedByServer + outcome.fact("broken") == outcome.connected, "\(outcome)")
        try await Self.comesBack(server, to: before)
        try await Self.work(on: server)
        #expect(!server.program.errors.contains("Too many open files"), "\(server.program.errors.suffix(1000))")
      }
    }

    // MARK: Everybody else

    private static let worked = 20

    /// Some tasks of a caller that means well are taken, carried out and answered.
    private static func work(on server: Server) async throws {
      for _ in 0..<worked {
        let id = try await server.api.submit(#"{"type":"DELAYED_MESSAGE","payload":{"message":"work"}}"#)
        try await server.api.task(id, becomes: "SUCCESS")
      }
    }

    /// All connections are gone, but for those of callers that keep theirs.
    private static func comesBack(_ server: Server, to before: Holdings) async throws {
      try await eventually("connections and files are closed", within: .seconds(400)) {
        try Holdings(server).descriptors <= before.descriptors + 10
      }
    }
  }
}
