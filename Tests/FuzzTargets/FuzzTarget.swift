// The parsers that read bytes from outside, each as one function from any bytes to "nothing is wrong" or a `Finding`. libFuzzer calls
// them for as long as it is let (`scripts/fuzz`), `CorpusTests` with what was kept of earlier runs.

#if DEBUG || MARTLET_FUZZ
  /// One of them.
  package struct FuzzTarget: Sendable {
    /// Also the name of its folder in `Tests/Fuzz/corpus`.
    package let name: String
    /// What goes in, and what has to hold.
    package let about: String
    /// Bytes of an input; longer ones find nothing new, and take longer.
    package let longest: Int
    package let run: @Sendable (_ bytes: [UInt8]) throws(Finding) -> Void

    package static let all: [FuzzTarget] = [
      FuzzTarget(
        name: "json", about: "JSON texts: valid where Foundation's are, bounded in depth, the same when written again",
        longest: 4096, run: JSONTarget.run),
      FuzzTarget(
        name: "bodies",
        about: "bodies of every route: refused with pointers that lead somewhere, or read back the same",
        longest: 4096, run: BodyTarget.run),
      FuzzTarget(
        name: "cron", about: "cron expressions: ticks that come, in order, none left out; the normal form is the same",
        longest: 640, run: CronTarget.run),
      FuzzTarget(
        name: "zone", about: "compiled time zones: periods without a gap, and searches that end", longest: 4096,
        run: ZoneTarget.run),
      FuzzTarget(
        name: "configuration", about: "YAML, environment and overrides: told in lines, secrets never shown",
        longest: 4096,
        run: SettingsTarget.run),
      FuzzTarget(
        name: "token", about: "JSON Web Tokens and base64url: one text for each value, claims that are judged whole",
        longest: 4096, run: TokenTarget.run),
      FuzzTarget(
        name: "jwks", about: "JSON Web Key Sets: usable keys, or a reason", longest: 4096, run: KeySetTarget.run),
      FuzzTarget(
        name: "redis", about: "answers of Redis: the same values in whatever pieces they come", longest: 4096,
        run: ReplyTarget.run),
      FuzzTarget(
        name: "request", about: "request targets, queries and cursors", longest: 2048, run: RequestTargetTarget.run),
      FuzzTarget(
        name: "fields", about: "values of header fields: times, traces, hosts, credentials, Retry-After", longest: 1024,
        run: FieldTarget.run),
      FuzzTarget(
        name: "url", about: "URLs to call and to connect to: read one way only, no private address, no password shown",
        longest: 1024, run: URLTarget.run),
      FuzzTarget(
        name: "mail", about: "mails: no text begins a header or a line of its own", longest: 2048, run: MailTarget.run),
      FuzzTarget(
        name: "http", about: "bytes on a connection: the same requests in whatever pieces they come", longest: 4096,
        run: HTTPTarget.run),
      FuzzTarget(
        name: "stream", about: "server-sent events, as the client reads them", longest: 4096, run: StreamTarget.run),
    ]
  }

  /// What must not be.
  package struct Finding: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
      self.description = description
    }
  }

  func require(_ holds: Bool, _ otherwise: @autoclosure () -> String) throws(Finding) {
    guard holds else { throw Finding(otherwise()) }
  }

  extension [UInt8] {
    /// The texts between line ends, at most `count`; the last has the rest, whatever is in it.
    func lines(atMost count: Int) -> [String] {
      split(separator: UInt8(ascii: "\n"), maxSplits: count - 1, omittingEmptySubsequences: false)
        .map { String(decoding: $0, as: UTF8.self) }
    }
  }
#endif
