// `martlet keys …`: API keys, over HTTP or straight in the database.

internal import ArgumentParser
internal import Foundation
internal import Martlet
internal import MartletClient
internal import MartletCore
internal import MartletEngine

struct KeysCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "keys", abstract: "Create, list and revoke API keys.",
    discussion: """
      Over HTTP this asks for the role admin. With --database it needs no server and no key: whoever can write the database \
      may do it, also while servers are running.
      """,
    subcommands: [Create.self, List.self, Revoke.self])

  struct Create: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Create a key and print it. It is shown this once.",
      discussion: "The key goes to standard output, everything else to standard error.")

    @Argument(help: "What it is for: the name stands in events and audit.")
    var name: String

    @Option(
      name: .customLong("role"),
      help: ArgumentHelp("viewer, producer, worker, operator or admin; may be repeated.", valueName: "role"))
    var roles: [String] = []

    @Option(
      name: .customLong("queue"),
      help: ArgumentHelp("Bind it to this queue, or pattern such as 'mail*'; may be repeated.", valueName: "queue"))
    var queues: [String] = []

    @Option(
      name: .customLong("expires"), help: ArgumentHelp("It ends after this time: 90d, 12h.", valueName: "time"),
      transform: Values.seconds)
    var lifetime: Double?

    @OptionGroup var output: OutputOptions
    @OptionGroup var place: KeyPlace

    func validate() throws {
      guard !roles.isEmpty else { throw ValidationError("--role is missing: what may the key do?") }
      guard !roles.contains("") else { throw ValidationError("--role is empty") }
      for queue in queues where QueuePattern(queue) == nil {
        throw ValidationError("--queue '\(queue)' must be 1–128 characters of A-Z a-z 0-9 . _ : - and *")
      }
      try Lifetime.check(lifetime)
    }

    func run() async throws {
      let expiresAt = lifetime.map { Lifetime.end($0) }
      let queues = queues.isEmpty ? nil : queues
      let answer = try await place.run(creates: true) { keys in
        try await keys.create(name, roles: roles, queues: queues, expiresAt: expiresAt)
      } http: { client in
        try await OptionNames.telling(of: .key) {
          try await client.answer(to: .createKey(name, roles: roles, queues: queues, expiresAt: expiresAt))
        }
      }
      guard !output.json else { return Console.json(answer.json) }
      let key = try APIKeyState(answer)
      Console.error("id \(Plain.line(key.id)); the key is shown only now:")
      Console.out(Plain.line(key.key ?? ""))
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the keys; none of them is shown itself.")

    @OptionGroup var output: OutputOptions
    @OptionGroup var place: KeyPlace

    func run() async throws {
      let answer = try await place.run { keys in
        try await keys.list()
      } http: { client in
        try await client.whole(.keys)
      }
      guard !output.json else { return Console.json(answer.json) }
      let keys = try APIKeyState.list(answer)
      Console.out(keys.isEmpty ? "no keys" : KeyTable.keys(keys, for: .output))
    }
  }

  struct Revoke: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Revoke keys: within five seconds no server takes them any more.")

    @Argument(help: "The keys' ids, as `martlet keys list` shows them.")
    var ids: [String]

    @OptionGroup var place: KeyPlace

    func run() async throws {
      for id in ids {
        guard !id.hasPrefix("mk_") else {
          throw CommandFailure(.usage, "a key's id is asked for, not the key itself: see martlet keys list")
        }
        let answer = try await place.run { keys in
          try await keys.revoke(id)
        } http: { client in
          try await client.answer(to: .revokeKey(id))
        }
        let key = try APIKeyState(answer)
        Console.out("revoked \(Plain.line(key.id)) (\(Plain.line(key.name)))")
      }
    }
  }
}

/// Where the keys are: a server's, or a database's.
struct KeyPlace: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Work on this database instead of asking a server: sqlite:PATH or postgres://USER@HOST/DATABASE.",
      valueName: "url"))
  var database: String?

  @Option(help: ArgumentHelp("With --database: the configuration file.", valueName: "file"))
  var config: String?

  @OptionGroup var server: ServerOptions

  func run(
    creates: Bool = false, direct: (DirectKeys) async throws -> [UInt8],
    http: (MartletClient) async throws -> Answer
  ) async throws -> Answer {
    guard let database else { return try await server.withClient { try await http($0) } }
    do {
      let keys = try await DirectKeys.open(try await settings(database), creates: creates)
      if !keys.isOld { Console.error("martlet: created the database \(keys.database)") }
      let result: Result<[UInt8], any Error>
      do { result = .success(try await direct(keys)) } catch { result = .failure(error) }
      await keys.close()
      let bytes = try result.get()
      return try Answer(server: keys.database, json: bytes)
    } catch let error as StoreError {
      throw CommandFailure(.failed, error.message)
    } catch let error as ServiceError {
      throw CommandFailure(error)
    }
  }

  private func settings(_ database: String) async throws(CommandFailure) -> Settings.Database {
    try await SettingsOptions.load(["database.url": database, "config.file": config]).settings.database
  }
}

extension CommandFailure {
  /// Of what is done without a server.
  init(_ error: ServiceError) {
    switch error {
    case .invalid(let failure):
      self.init(
        .usage, "the key cannot be created",
        details: failure.problems.map { OptionNames.told($0, of: .key) })
    case .notFound: self.init(.notFound, "there is no key with this id")
    case .store(let error, _): self.init(.failed, error.message)
    default: self.init(.failed, "\(error)")
    }
  }
}

/// How long keys and tokens are good.
enum Lifetime {
  static func check(_ seconds: Double?) throws {
    guard let seconds else { return }
    guard (1...Limits.farthestSeconds).contains(seconds) else {
      throw ValidationError("--expires must be from 1s to 36525d")
    }
  }

  static func end(_ seconds: Double) -> Timestamp {
    Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) + .wire(seconds: seconds)
  }
}

enum KeyTable {
  static func keys(_ keys: [APIKeyState], for terminal: Terminal) -> String {
    var table = Table(columns: [
      .init("ID"), .init("NAME", shrinks: true), .init("ROLES"), .init("QUEUES", shrinks: true), .init("EXPIRES"),
      .init("LAST USED"),
    ])
    table.rows = keys.map { key in
      [
        .init(key.id), .init(key.name), .init(key.roles.joined(separator: ",")),
        .init(key.queues?.joined(separator: ",") ?? "*"), .init(key.expiresAt?.description ?? "never"),
        .init(key.lastUsedAt?.description ?? "never"),
      ]
    }
    return table.rendered(for: terminal)
  }
}
