// What `redis.url` may say, and what is said where it is wrong.

internal import MartletCore
internal import Testing

@testable internal import MartletRedis

struct RedisURLTests {
  @Test func `A host is enough`() throws {
    let url = try RedisURL("redis://cache.example.com")
    #expect(url.host == "cache.example.com")
    #expect(url.port == 6379)
    #expect(url.database == 0)
    #expect(!url.isTLS)
    #expect(url.user == nil && url.password == nil && url.ca == nil)
    #expect(try RedisURL("redis://cache.example.com/").database == 0)
  }

  @Test func `User, password, port, database and a private certificate authority are taken from it`() throws {
    let url = try RedisURL("rediss://al%20ice:p%40ss%2Fw%C3%B6rd%25@[::1]:6380/12?ca=/etc/my%20ca.pem")
    #expect(url.isTLS)
    #expect(url.user == "al ice")
    #expect(url.password == "p@ss/wörd%")
    #expect(url.host == "::1")
    #expect(url.place == "[::1]:6380")
    #expect(url.port == 6380)
    #expect(url.database == 12)
    #expect(url.ca == "/etc/my ca.pem")
  }

  @Test func `A password needs no user, and may hold an @ and a colon`() throws {
    let url = try RedisURL("redis://:a:b@c@host")
    #expect(url.user == nil)
    #expect(url.password == "a:b@c")
    #expect(url.host == "host")
  }

  @Test(arguments: [
    ("http://host", "must begin with redis:// or rediss://"),
    ("host:6379", "must begin with redis:// or rediss://"),
    ("redis://", "names no host"),
    ("redis://:secret@", "names no host"),
    ("redis://:secret@:6379", "names no host"),
    ("redis://host:", "has a port that is not a number from 1 to 65535"),
    ("redis://host:secret", "has a port that is not a number from 1 to 65535"),
    ("redis://host:0", "has a port that is not a number from 1 to 65535"),
    ("redis://host:+1", "has a port that is not a number from 1 to 65535"),
    ("redis://host:65536", "has a port that is not a number from 1 to 65535"),
    ("redis://[::1", "has a [ without its ]"),
    ("redis://[::1]6379", "has something between ] and the port"),
    ("redis://höst", "has a host that is not ASCII"),
    ("redis://user@host", "names no password: redis://user:password@host"),
    ("redis://user:@host", "names no password: redis://user:password@host"),
    ("redis://:secret%4@host", "has a % in its password that two hexadecimal digits do not follow"),
    ("redis://:secret%+1@host", "has a % in its password that two hexadecimal digits do not follow"),
    ("redis://us%zzer:secret@host", "has a % in its user that two hexadecimal digits do not follow"),
    ("redis://:secret%FF@host", "has a password that is not UTF-8"),
    ("redis://:sec/ret@host", "must have / ? # @ in user, password and path written as %2F %3F %23 %40"),
    ("redis://:sec?ret@host", "must have / ? # @ in user, password and path written as %2F %3F %23 %40"),
    ("redis://:sec#ret@host", "must have / ? # @ in user, password and path written as %2F %3F %23 %40"),
    ("redis://host/secret", "has a path that is not the number of a database, as in /0"),
    ("redis://host/-1", "has a path that is not the number of a database, as in /0"),
    ("redis://host/99999999999999999999", "has a path that is not the number of a database, as in /0"),
    ("redis://host?ca=/a", "has a ca, for which it must begin with rediss://"),
    ("rediss://host?ca=", "may have one parameter only: ?ca=PATH"),
    ("rediss://host?password=secret", "may have one parameter only: ?ca=PATH"),
    ("rediss://host?ca=/a&ca=/b", "may have one parameter only: ?ca=PATH"),
  ])
  func `What is wrong is named, and the password is not`(_ text: String, _ predicate: String) {
    #expect(throws: RedisError.unusable("the Redis URL \(predicate)")) { try RedisURL(text) }
    #expect(!predicate.contains("secret"))
  }

  @Test func `It is shown without the password`() throws {
    let url = try RedisURL("rediss://me:secret@host/3?ca=/ca.pem")
    #expect("\(url)" == "rediss://me:***@host:6379/3?ca=/ca.pem")
    #expect(String(reflecting: url) == "\(url)")
    #expect("\(try RedisURL("redis://host"))" == "redis://host:6379/0")
  }

  @Test func `A file of certificates that is not there is said at once`() throws {
    let url = try RedisURL("rediss://host?ca=/no/such/file")
    #expect(throws: RedisError.unusable("the certificates that Redis' is judged by cannot be read: /no/such/file")) {
      try RedisSettings(url, random: .init(seed: 1))
    }
  }
}
