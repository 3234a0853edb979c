// A real mail server (aiosmtpd) as a process beside the test program. It takes what the tests send and tells what it has understood;
// recipients named `rcpt-550`, `data-451`, `hang-rcpt`, `hang-data` and `hang-quit` get what their names say.

internal import ChildProcess
package import Foundation
internal import Synchronization

package final class MailServer: Sendable {
  package enum Security: String, Sendable { case none, starttls, implicit }

  package let port: Int
  /// To be trusted by those who shall trust this server; there where it has TLS.
  package let certificate: URL

  private let folder: URL
  private let child: Child
  /// The server ends when this does, however the test program went.
  private let lifeline: Mutex<Int32?>

  /// - Parameters:
  ///   - name: whom its certificate is for; `localhost` is for 127.0.0.1 too.
  ///   - login: `user:password`, demanded of everyone.
  ///   - loginAnswer: what every login is answered with.
  ///   - mute: takes connections and says nothing.
  ///   - port: of one that has stopped, whose place it takes, or `freePort()` for one that shall come back; nil for any.
  package static func start(
    tls: Security = .none, name: String = "localhost", login: String? = nil, loginAnswer: String? = nil,
    mute: Bool = false, port: Int? = nil
  ) async throws -> MailServer {
    var options = ["--tls", tls.rawValue, "--name", name]
    if let port { options += ["--port", String(port)] }
    if let login { options += ["--login", login] }
    if let loginAnswer { options += ["--login-answer", loginAnswer] }
    if mute { options.append("--mute") }
    return try await MailServer(options)
  }

  private init(_ options: [String]) async throws {
    let place = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    // Not by its real path: that is where a virtual environment is left behind.
    let python = place.deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent(".build/mailserver/bin/python").path
    guard FileManager.default.isExecutableFile(atPath: python) else {
      throw MailServerFailed(what: "aiosmtpd is missing in .build/mailserver: scripts/setup --test installs it")
    }
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-mail-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    certificate = folder.appendingPathComponent("certificate.pem")
    let log = folder.appendingPathComponent("log")
    var ends: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)  // no other child may hold our end
    guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw MailServerFailed(what: "no socket pair") }
    lifeline = Mutex(ends[1])
    defer { close(ends[0]) }
    child = try Child(
      [python, place.appendingPathComponent("server.py").path, folder.path] + options, input: ends[0], output: log,
      errors: log)
    let portFile = folder.appendingPathComponent("port")
    while !FileManager.default.fileExists(atPath: portFile.path) {
      guard child.status == nil else {
        throw MailServerFailed(what: "the mail server did not start: \(try String(contentsOf: log, encoding: .utf8))")
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    guard let port = Int(try String(contentsOf: portFile, encoding: .utf8)) else {
      throw MailServerFailed(what: "the mail server has no port")
    }
    self.port = port
  }

  deinit {
    lifeline.withLock { if let end = $0 { close(end) } }
    do {
      try FileManager.default.removeItem(at: folder)
    } catch {
      print("\(folder.path) stays: \(error)")
    }
  }

  /// Ends it; its port stays free as far as anyone knows.
  package func stop() async {
    lifeline.withLock { end in
      if let descriptor = end { close(descriptor) }
      end = nil
    }
    _ = await child.ended()
  }

  /// Waits until it lets a client wait.
  package func hangs() async throws {
    while !FileManager.default.fileExists(atPath: file("hanging").path) { try await Task.sleep(for: .milliseconds(10)) }
  }

  /// What it has taken so far, in order.
  package var mails: [ReceivedMail] {
    get throws {
      var mails: [ReceivedMail] = []
      while FileManager.default.fileExists(atPath: file("\(mails.count + 1).json").path) {
        let number = mails.count + 1
        var mail = try JSONDecoder().decode(ReceivedMail.self, from: Data(contentsOf: file("\(number).json")))
        mail.source = String(decoding: try Data(contentsOf: file("\(number).eml")), as: UTF8.self)
        mails.append(mail)
      }
      return mails
    }
  }

  private func file(_ name: String) -> URL { folder.appendingPathComponent(name) }
}

/// A mail as Python's parser has read it.
package struct ReceivedMail: Decodable, Sendable {
  package struct Mailbox: Decodable, Sendable, Hashable {
    package var name: String
    package var address: String

    package init(_ name: String, _ address: String) {
      self.name = name
      self.address = address
    }
  }

  package struct Envelope: Decodable, Sendable, Hashable {
    package var from: String
    package var to: [String]
    package var isSecure: Bool
    package var login: String?
  }

  package var envelope: Envelope
  package var type: String
  package var subject: String
  package var from: [Mailbox]
  package var to: [Mailbox]
  package var messageID: String
  package var date: String
  package var text: String?
  package var html: String?
  /// The names of all headers, in lower case.
  package var headers: [String]
  package var autoSubmitted: String?
  /// What the parser found wrong.
  package var defects: [String]
  package var longestLine: Int
  package var isASCII: Bool
  package var hasBareEnds: Bool
  /// As it came.
  package var source = ""

  private enum CodingKeys: CodingKey {
    case envelope, type, subject, from, to, messageID, date, text, html, headers, autoSubmitted, defects, longestLine
    case isASCII, hasBareEnds
  }
}

package struct MailServerFailed: Error, CustomStringConvertible {
  package let what: String
  package var description: String { what }
}
