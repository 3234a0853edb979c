// What is read out of a database's URL, and what is never shown of it.

internal import MartletCore
internal import Testing

@testable internal import MartletPostgres

struct SettingsTests {
  private func url(_ text: String) throws -> DatabaseURL { try DatabaseURL(text) }

  @Test func `Our word is taken out, the rest is libpq's`() throws {
    let read = try url("postgres://a@h:1/d?sslmode=require&pgbouncer=true&connect_timeout=3")
    #expect(read.isPooled)
    #expect(read.forLibpq == "postgres://a@h:1/d?sslmode=require&connect_timeout=3")
    #expect(try url("postgresql://h/d?pgbouncer=true").forLibpq == "postgresql://h/d")
    #expect(try !url("postgres://h/d?pgbouncer=false").isPooled)
    #expect(try !url("postgres:///d?host=/run/x&user=pgbouncer%3Dtrue").isPooled)
    #expect(try url("postgres://a,b:2/d").forLibpq == "postgres://a,b:2/d")
  }

  @Test(arguments: [
    ("postgres://u:secret@h/d", "postgres://u:***@h/d"),
    ("postgres://u:@h/d", "postgres://u:***@h/d"),
    ("postgres://u@h/d", "postgres://u@h/d"),
    ("postgres://h/d", "postgres://h/d"),
    ("postgres://u:se?cret@h/d", "postgres://u:***@h/d"),
    ("postgres://h/d?user=u&password=secret&sslpassword=secret", "postgres://h/d?user=u&password=***&sslpassword=***"),
    ("postgres://h/d?pgbouncer=true", "postgres://h/d"),
  ])
  func `Passwords are not shown`(_ text: String, _ shown: String) throws {
    #expect(try url(text).shown == shown)
    #expect(try ConnectionSettings(url: text, schema: "s").shownURL == shown)
  }

  @Test(arguments: [
    ("mysql://h/d", "the database URL must begin with postgres:// or postgresql://"),
    ("postgres://h/d?pgbouncer=perhaps", "the database URL's pgbouncer is neither true nor false"),
    (
      "postgres://u:secret@h/d?colour=red",
      "the database URL postgres://u:***@h/d?colour=red cannot be read: invalid URI query parameter: \"colour\""
    ),
    ("postgres://u:secret@[::1/d", "the database URL postgres://u:***@[::1/d cannot be read"),
    ("postgres://u:sec%ret@h/d", "the database URL postgres://u:***@h/d cannot be read"),
    ("postgres://u:secret@h/d\0", "the database URL holds a zero byte"),
  ])
  func `A bad URL is refused in one line without its password`(_ text: String, _ message: String) {
    #expect(throws: StoreError.unusable(message)) { try DatabaseURL(text) }
  }

  @Test(arguments: [("martlet", "\"martlet\""), ("a\"b, c", "\"a\"\"b, c\"")])
  func `The schema is quoted`(_ schema: String, _ path: String) throws {
    #expect(try ConnectionSettings(url: "postgres://h/d", schema: schema).searchPath == path)
  }

  @Test func `The server gives up a little before we do`() throws {
    let settings = try ConnectionSettings(url: "postgres://h/d", schema: "s")
    #expect(settings.statementTimeout(.hot) == "4500")
    #expect(settings.statementTimeout(.background) == "54000")
  }

  // MARK: Errors

  @Test(arguments: [
    "53100", "53200", "53300", "57014", "57P01", "57P03", "25006", "08006", "08P01", "40001", "40P01", "55P03", "58030",
  ])
  func `What passes is unavailable`(_ sqlState: String) {
    guard case .unavailable = StoreError(.refused(sqlState: sqlState, message: "m")) else {
      Issue.record("\(StoreError(.refused(sqlState: sqlState, message: "m")))")
      return
    }
  }

  @Test(arguments: ["42501", "42P01", "3F000", "42703", "28P01", "28000", "3D000", "23505", "26000", "42P05", "XX000"])
  func `What has to be mended is unusable`(_ sqlState: String) {
    guard case .unusable = StoreError(.refused(sqlState: sqlState, message: "m")) else {
      Issue.record("\(StoreError(.refused(sqlState: sqlState, message: "m")))")
      return
    }
  }

  @Test func `A broken connection leaves the outcome unknown`() {
    #expect(StoreError(.lost("cut")) == .unknownOutcome("cut"))
    #expect(StoreError(.unavailable("busy")) == .unavailable("busy"))
    #expect(StoreError(.refused(sqlState: "53100", message: "m")) == .unavailable("the database's disk is full"))
  }
}
