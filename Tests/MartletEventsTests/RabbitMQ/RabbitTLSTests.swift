// Over TLS, with an authority of our own.

internal import ChildProcess
internal import Foundation
internal import MartletCore
internal import RabbitServer
internal import Testing

@testable internal import MartletEvents

struct RabbitTLSTests {
  private func openssl(_ arguments: String...) async throws {
    let status = try await Child(["/usr/bin/openssl"] + arguments).ended()
    guard status == 0 else { throw ChildFailed(description: "openssl ended with \(status)") }
  }

  /// An authority and a certificate of its making for `localhost`; another authority that nobody knows.
  private func makeIdentity(in folder: URL) async throws -> (RabbitServer.Identity, authority: String, stranger: String)
  {
    func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
    let key = ["-newkey", "rsa:2048", "-nodes"]
    for name in ["ca", "stranger"] {
      let status = try await Child(
        ["/usr/bin/openssl", "req", "-x509", "-days", "2", "-subj", "/CN=Martlet \(name)"] + key
          + ["-out", path("\(name).pem"), "-keyout", path("\(name).key")]
      ).ended()
      #expect(status == 0)
    }
    try Data("subjectAltName=DNS:localhost\n".utf8).write(to: folder.appendingPathComponent("ext"))
    try await openssl(
      "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-out", path("request"), "-keyout", path("key"))
    try await openssl(
      "x509", "-req", "-days", "2", "-in", path("request"), "-CA", path("ca.pem"), "-CAkey", path("ca.key"),
      "-CAcreateserial", "-extfile", path("ext"), "-out", path("certificate"))
    let identity = RabbitServer.Identity(
      authority: folder.appendingPathComponent("ca.pem"), certificate: folder.appendingPathComponent("certificate"),
      key: folder.appendingPathComponent("key"))
    return (identity, path("ca.pem"), path("stranger.pem"))
  }

  @Test func `Events go over TLS to a broker whose authority is trusted, and to no other`() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-rabbit-tls-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let (identity, authority, stranger) = try await makeIdentity(in: folder)
    let server = try await RabbitServer.start(identity)

    let names = RabbitNames()
    let settings = try names.settings(server.secureURL(certificates: authority))
    let sink = RabbitSink.make(settings)
    let dead = rabbitDeadLetters(10, padding: 200_000)
    #expect(try await sink.deliverAll(rabbitEvents(3000) + dead) == 0)
    var bodies: [[UInt8]] = []
    let consumer = RabbitConsumer(settings) { _ in }
    let taken = try await consumer.consume(limit: 10) { bodies.append($0.body) }
    #expect(taken == 10)
    #expect(bodies == dead.map { $0.json(data: $0.deadLetter ?? []) })
    await sink.close()

    let place = "localhost:\(server.securePort) cannot be reached"
    let wrong = [
      (server.secureURL(certificates: stranger), "RabbitMQ at \(place): its certificate is not one that is trusted"),
      (server.secureURL(certificates: "/no/file"), "RabbitMQ at \(place): no certificates can be read from /no/file"),
      (
        server.secureURL(host: "127.0.0.1", certificates: authority),
        "RabbitMQ at 127.0.0.1:\(server.securePort) cannot be reached: its certificate is for another name"
      ),
      (
        "amqps://app:x@localhost:\(server.securePort)",
        "RabbitMQ at \(place): its certificate is not one that is trusted"
      ),
    ]
    for (url, line) in wrong {
      let sink = RabbitSink.make(try names.settings(url))
      #expect(await sink.deliver(rabbitEvents(1)) == [.failed(line)])
      await sink.close()
    }
    await server.remove()
    try FileManager.default.removeItem(at: folder)
  }
}
