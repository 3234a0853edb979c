// `martlet token`: a token for development, by the secret that the server is configured with.

internal import ArgumentParser
internal import Martlet
internal import MartletCore

struct TokenCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "token", abstract: "Mint a JSON Web Token by auth.jwt.secret, for development.",
    discussion: """
      Reads the settings as `martlet serve` does, and prints the token: MARTLET_TOKEN=$(martlet token --role admin). A token \
      cannot be revoked; for anything that lasts create a key (martlet keys create).
      """)

  @Option(
    name: .customLong("role"),
    help: ArgumentHelp("viewer, producer, worker, operator or admin; may be repeated.", valueName: "role"),
    transform: Self.role)
  var roles: [Role] = []

  @Option(
    name: .customLong("queue"),
    help: ArgumentHelp("Bind it to this queue, or pattern such as 'mail*'; may be repeated.", valueName: "queue"),
    transform: Self.pattern)
  var queues: [QueuePattern] = []

  @Option(
    name: .customLong("expires"), help: ArgumentHelp("It ends after this time (default: 1h).", valueName: "time"),
    transform: Values.seconds)
  var lifetime = 3600.0

  @Option(help: ArgumentHelp("Whose it is, for events and audit (default: developer).", valueName: "name"))
  var subject = "developer"

  @OptionGroup var settings: SettingsOptions

  func validate() throws {
    guard !roles.isEmpty else { throw ValidationError("--role is missing: what may the token do?") }
    guard queues.count <= QueuePattern.limit else {
      throw ValidationError("--queue may be given \(QueuePattern.limit) times")
    }
    guard (1...255).contains(subject.utf8.count), subject.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
      throw ValidationError("--subject must be 1 to 255 bytes long, without control characters")
    }
    try Lifetime.check(lifetime)
  }

  func run() async throws {
    let settings = try await settings.load().settings
    let token = settings.developmentToken(
      subject: subject, roles: Role.allCases.filter(roles.contains), queues: queues.isEmpty ? nil : queues,
      lifetime: .wire(seconds: lifetime))
    guard let token else {
      throw CommandFailure(
        .usage, "auth.jwt.secret is not set (MARTLET_AUTH_JWT_SECRET): there is nothing to sign a token with")
    }
    Console.out(token)
  }

  private static func role(_ text: String) throws -> Role {
    guard let role = Role(rawValue: text) else {
      throw ValidationError("'\(text)' is none of \(Role.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return role
  }

  private static func pattern(_ text: String) throws -> QueuePattern {
    guard let pattern = QueuePattern(text) else {
      throw ValidationError("'\(text)' must be 1–128 characters of A-Z a-z 0-9 . _ : - and *")
    }
    return pattern
  }
}
