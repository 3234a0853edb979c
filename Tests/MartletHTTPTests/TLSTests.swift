// TLS at the server's own sockets: what is spoken, how certificates are replaced, and what slow and hostile clients meet.

internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import ScriptedServer
internal import Testing

@testable internal import MartletHTTP

@Suite(.timeLimit(.minutes(10))) struct TLSTests {
  /// Serves over TLS with a certificate made just now.
  private func run(
    configure: (inout HTTPConfiguration) -> Void = { _ in }, wrap: (any TaskStore) -> any TaskStore = { $0 },
    _ body: (_ harness: HTTPHarness, _ certificate: SelfSigned) async throws -> Void
  ) async throws {
    try await withFolder { folder in
      let certificate = try await SelfSigned()
      let files = try certificate.write(to: folder)
      try await HTTPHarness.run(
        configure: {
          $0.tls = TLSFiles(certificate: files.certificate, key: files.key)
          configure(&$0)
        }, wrap: wrap
      ) { harness in
        try await body(harness, certificate)
      }
    }
  }

  private func withFolder<Value>(_ body: (String) async throws -> Value) async throws -> Value {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-tls-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try await body(folder.path)
  }

  @Test func `requests are answered as without TLS, large ones too`() async throws {
    try await run { harness, certificate in
      let padding = String(repeating: "x", count: 200_000)
      let replies = try await SecureConnection.open(harness, trusting: certificate) { connection in
        #expect(try await connection.negotiated() == "http/1.1")
        try await connection.send(request("GET", "/version"))
        let version = try await connection.replies(1)
        try await connection.send(request("POST", "/tasks", body: #"{"type":"a","payload":"\#(padding)"}"#))
        return try await version + connection.replies(1)
      }
      #expect(replies.map(\.status) == [200, 201])
      #expect(try replies[1].raw("payload").count == padding.count + 2)
    }
  }

  @Test func `TLS 1_2 and 1_3 are spoken, and nothing older`() async throws {
    try await run { harness, certificate in
      for version in [TLSVersion.tlsv12, .tlsv13] {
        let replies = try await SecureConnection.open(
          harness, trusting: certificate,
          configure: { ($0.minimumTLSVersion, $0.maximumTLSVersion) = (version, version) }
        ) { connection in
          try await connection.send(request("GET", "/version"))
          return try await connection.replies(1)
        }
        #expect(replies.map(\.status) == [200])
      }
      await #expect(throws: (any Error).self) {
        try await SecureConnection.open(
          harness, trusting: certificate,
          configure: { ($0.minimumTLSVersion, $0.maximumTLSVersion) = (.tlsv1, .tlsv11) }
        ) { try await $0.negotiated() }
      }
    }
  }

  @Test func `who speaks without TLS is cut off, and harms nobody`() async throws {
    try await run { harness, certificate in
      for text in ["GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n", "\u{16}\u{3}\u{1}", "nonsense", ""] {
        let answer = try await RawConnection.open(harness) { connection in
          try await connection.send(text)
          connection.finish()
          return try await connection.everything()
        }
        // An alert of TLS at most.
        #expect(!String(decoding: answer, as: UTF8.self).contains("HTTP/1.1"))
      }
      #expect(try await version(harness, certificate) == 200)
    }
  }

  @Test func `a handshake that does not end in time is cut off`() async throws {
    // Time enough for one that is done, on a busy machine, too.
    try await run(configure: { $0.handshakeTime = .seconds(10) }) { harness, certificate in
      try await withThrowingTaskGroup(of: [UInt8].self) { group in
        for start in ["", "\u{16}\u{3}\u{1}\u{2}"] {
          group.addTask {
            try await RawConnection.open(harness) { connection in
              try await connection.send(start)
              return try await connection.everything()
            }
          }
        }
        for try await answer in group { #expect(answer.isEmpty) }
      }
      #expect(try await version(harness, certificate) == 200)
    }
  }

  @Test func `a connection whose handshake is done outlives the handshake's time`() async throws {
    try await run(configure: { $0.handshakeTime = .seconds(20) }) { harness, certificate in
      let replies = try await SecureConnection.open(harness, trusting: certificate) { connection in
        try await connection.send(request("GET", "/version"))
        let first = try await connection.replies(1)
        // The subject is that time passes.
        try await Task.sleep(for: .seconds(22))
        try await connection.send(request("GET", "/version"))
        return try await first + connection.replies(1)
      }
      #expect(replies.map(\.status) == [200, 200])
    }
  }

  @Test func `slow and large bodies meet the same limits`() async throws {
    let head = "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    try await run(configure: { $0.bodyDeadline = .milliseconds(200) }) { harness, certificate in
      let slow = try await SecureConnection.open(harness, trusting: certificate) { connection in
        try await connection.send(head + "Content-Length: 100\r\n\r\n{")
        return try await connection.replies(1)
      }
      try slow[0].expectProblem(408, "request-timeout")
    }
    try await run(configure: { $0.lingerTime = .seconds(120) }) { harness, certificate in
      let announced = try await SecureConnection.open(harness, trusting: certificate) { connection in
        try await connection.send(head + "Content-Length: 100000000\r\n\r\n")
        return try await connection.replies(1)
      }
      try announced[0].expectProblem(413, "body-too-large")
      let chunk = "100000\r\n" + String(repeating: " ", count: 1 << 20) + "\r\n"
      let chunked = try await SecureConnection.open(harness, trusting: certificate) { connection in
        try await connection.send(head + "Transfer-Encoding: chunked\r\n\r\n")
        await connection.pour(chunk, times: 20)
        return try await connection.replies(1)
      }
      try chunked[0].expectProblem(413, "body-too-large")
      let header = try await SecureConnection.open(harness, trusting: certificate) { connection in
        try await connection.send(
          "GET /version HTTP/1.1\r\nHost: localhost\r\nX: \(String(repeating: "x", count: 40_000))\r\n\r\n")
        return try await connection.replies(1)
      }
      try header[0].expectProblem(431, "headers-too-large")
    }
  }

  @Test func `a silent connection is closed, and one that never ends its head`() async throws {
    try await run(configure: { $0.idleTimeout = .seconds(20) }) { harness, certificate in
      try await withThrowingTaskGroup(of: [Reply].self) { group in
        for text in ["", "GET /version HTTP/1.1\r\nHost: local"] {
          group.addTask {
            try await SecureConnection.open(harness, trusting: certificate) { connection in
              _ = try await connection.negotiated()
              try await connection.send(text)
              return try await connection.rest()
            }
          }
        }
        for try await replies in group { #expect(replies.allSatisfy { $0.status == 400 }) }
      }
    }
  }

  @Test func `a client that leaves without a goodbye gives back the work that it waited for`() async throws {
    let claims = Claims()
    try await run(wrap: claims.watch) { harness, certificate in
      try await SecureConnection.open(harness, trusting: certificate) { connection in
        let wish = #"{"worker":"gone","types":["resize"],"waitSeconds":60}"#
        try await connection.send(request("POST", "/leases", body: wish))
        await claims.next()
        await connection.drop()
        while !harness.registry.render().contains(#"route="/leases""#) { await Task.yield() }  // it has noticed
      }
      let replies = try await SecureConnection.open(harness, trusting: certificate) { connection in
        try await connection.send(request("POST", "/tasks", body: #"{"type":"resize"}"#))
        let submitted = try await connection.replies(1)
        let wish = #"{"worker":"next","types":["resize"],"waitSeconds":60}"#
        try await connection.send(request("POST", "/leases", body: wish))
        return try await submitted + connection.replies(1)
      }
      // Nothing was used up: it is the first attempt.
      #expect(try replies[1].leaseIDs.first?.hasPrefix("\(replies[0].string("id")).1.") == true)
    }
  }

  @Test func `a client that leaves without a goodbye harms nobody`() async throws {
    try await run { harness, certificate in
      for start in [
        "", "GET ", request("GET", "/tasks"), "POST /tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
      ] {
        try await SecureConnection.open(harness, trusting: certificate) { connection in
          _ = try await connection.negotiated()
          try await connection.send(start)
          await connection.drop()
        }
      }
      #expect(try await version(harness, certificate) == 200)
    }
  }

  @Test func `a shutdown does not wait for connections that are idle`() async throws {
    try await run { harness, certificate in
      try await SecureConnection.open(harness, trusting: certificate) { connection in
        try await connection.send(request("GET", "/version"))
        #expect(try await connection.replies(1)[0].status == 200)
        await harness.shutDown()
        #expect(try await connection.rest().isEmpty)
      }
    }
  }

  @Test func `a server without a certificate that can be used does not listen`() async throws {
    try await withFolder { folder in
      let files = try await SelfSigned().write(to: folder)
      for wrong in [
        TLSFiles(certificate: files.certificate, key: folder + "/none"),
        TLSFiles(certificate: files.key, key: files.key),
        TLSFiles(certificate: files.certificate, key: files.certificate),
      ] {
        let fault = await #expect(throws: TLSFault.self) {
          try await HTTPHarness.run(configure: { $0.tls = wrong }) { _ in Issue.record("it listens") }
        }
        #expect(fault == wrong.fault)
      }
    }
  }

  // MARK: Replacing the certificate

  @Test func `a new certificate is shown to new connections, and old ones go on`() async throws {
    try await withFolder { folder in
      let (old, new) = (try await SelfSigned(), try await SelfSigned())
      let files = try old.write(to: folder)
      let clock = HandClock()
      try await HTTPHarness.run(
        configure: { $0.tls = TLSFiles(certificate: files.certificate, key: files.key) }, clock: clock
      ) { harness in
        try await SecureConnection.open(harness, trusting: old) { connection in
          try await connection.send(request("GET", "/version"))
          #expect(try await connection.replies(1)[0].status == 200)
          _ = try new.write(to: folder)
          await clock.nap(of: TLSKeeper.interval)
          clock.advance(by: TLSKeeper.interval)
          await clock.nap(of: TLSKeeper.interval)
          #expect(try await version(harness, new) == 200)
          await #expect(throws: (any Error).self) { try await version(harness, old) }
          try await connection.send(request("GET", "/version"))
          #expect(try await connection.replies(1)[0].status == 200)
        }
      }
    }
  }

  @Test func `a bad new certificate is told of once if it lasts, and the old one stays`() async throws {
    try await withFolder { folder in
      let (old, new) = (try await SelfSigned(), try await SelfSigned())
      let files = try old.write(to: folder)
      let log = LogProbe()
      let time = HandClock()
      let keeper = TLSKeeper(
        TLSFiles(certificate: files.certificate, key: files.key), clock: time, wallClock: WallClock.now,
        logger: log.logger)
      try keeper.prepare()
      let first = try #require(keeper.context)
      #expect(log.lines.count == 1 && log.lines[0].hasPrefix("warning: the certificate ends in "))
      keeper.look()
      // Half of the change: the key is still to come.
      try Data(new.certificate.utf8).write(to: URL(fileURLWithPath: files.certificate), options: .atomic)
      keeper.look()
      #expect(keeper.context === first && log.lines.count == 1)
      _ = try new.write(to: folder)
      keeper.look()
      #expect(keeper.context !== first)
      #expect(log.lines.last == "info: the certificate was replaced")

      let second = keeper.context
      let told = log.lines.count
      try Data("nonsense".utf8).write(to: URL(fileURLWithPath: files.certificate), options: .atomic)
      for _ in 0..<5 { keeper.look() }
      #expect(keeper.context === second)
      let lines = log.lines.dropFirst(told)
      #expect(lines.count == 1 && lines.first?.contains("the old one stays in force: server.tls.certificate") == true)
      try FileManager.default.removeItem(atPath: files.certificate)
      for _ in 0..<3 { keeper.look() }
      #expect(keeper.context === second && log.lines.count == told + 2)
      _ = try new.write(to: folder)
      keeper.look()
      #expect(keeper.context === second && log.lines.last == "info: the certificate's files are as they were")
    }
  }

  @Test func `a certificate that has ended is told of`() async throws {
    try await withFolder { folder in
      let files = try await SelfSigned(days: 1).write(to: folder)
      let log = LogProbe()
      let future = WallClock.now() + .seconds(86_400 * 30)
      let keeper = TLSKeeper(
        TLSFiles(certificate: files.certificate, key: files.key), clock: HandClock(), wallClock: { future },
        logger: log.logger)
      try keeper.prepare()
      #expect(log.lines == ["warning: the certificate has come to its end"])
    }
  }

  private func version(_ harness: HTTPHarness, _ certificate: SelfSigned) async throws -> Int? {
    try await SecureConnection.open(harness, trusting: certificate) { connection in
      try await connection.send(request("GET", "/version"))
      return try await connection.replies(1).first?.status
    }
  }
}

private func request(_ method: String, _ target: String, body: String? = nil) -> String {
  let fields = body.map { "Content-Type: application/json\r\nContent-Length: \($0.utf8.count)\r\n" } ?? ""
  return "\(method) \(target) HTTP/1.1\r\nHost: localhost\r\n\(fields)\r\n\(body ?? "")"
}
