// Reading the URL.

internal import Testing

@testable internal import MartletEvents

struct RabbitSettingsTests {
  private func problem(_ url: String, exchange: String = "e", queue: String = "q") -> String? {
    do throws(RabbitProblem) {
      _ = try RabbitSettings(url: url, exchange: exchange, deadLetterQueue: queue)
      return nil
    } catch {
      return error.description
    }
  }

  @Test func `What is left out is RabbitMQ's own default`() throws {
    let settings = try RabbitSettings(url: "amqp://broker")
    #expect(settings.user == "guest" && settings.password == "guest")
    #expect(settings.host == "broker" && settings.port == 5672 && settings.vhost == "/")
    #expect(!settings.isSecure && settings.certificates == nil)
    #expect(settings.exchange == "martlet.events" && settings.deadLetterQueue == "martlet.dead-letters")
    #expect(settings.place == "RabbitMQ at broker:5672")
    #expect(try RabbitSettings(url: "amqps://broker/").port == 5671)
    #expect(try RabbitSettings(url: "amqp://broker/").vhost == "/")
  }

  @Test func `User, password, virtual host and file are percent-decoded`() throws {
    let settings = try RabbitSettings(url: "amqps://us%40er:p%2Fa%3As:s@[::1]:1234/a%2Fb?ca=/etc/a%20b.pem")
    #expect(settings.user == "us@er" && settings.password == "p/a:s:s")
    #expect(settings.host == "::1" && settings.port == 1234 && settings.vhost == "a/b")
    #expect(settings.isSecure && settings.certificates == "/etc/a b.pem")
    #expect(settings.place == "RabbitMQ at [::1]:1234")
  }

  @Test(arguments: [
    ("http://u:geheim@h", "begin with amqp:// or amqps://"), ("", "begin with"), ("amqp://", "no host"),
    ("amqp://u:geheim@", "no host"), ("amqp://u:geheim@h:0", "port"), ("amqp://u:geheim@h:x", "port"),
    ("amqp://u:geheim/2@h", "port"), ("amqp://u:geheim@h/a/b", "%2F"), ("amqp://u:geheim%@h", "password"),
    ("amqp://u%:geheim@h", "user"), ("amqp://u:geheim@h/%f", "virtual host"), ("amqp://u:geheim%00@h", "zero byte"),
    ("amqp://u:geheim@h?cs=1", "unknown parameter: cs"), ("amqps://u:geheim@h?ca=", "names no file"),
    ("amqp://u:geheim@h?ca=/x", "amqps://"), ("amqp://u:geheim@[::1", "bracket"), ("amqp://u:geheim@[::1]x", "port"),
  ])
  func `What is wrong is named, without the password`(_ url: String, _ words: String) {
    let problem = problem(url) ?? "none"
    #expect(problem.contains(words), "\(problem)")
    #expect(!problem.contains("geheim") && !problem.contains("\n"))
  }

  @Test func `Names that the broker would not take`() {
    #expect(problem("amqp://h", exchange: "")?.contains("exchange") == true)
    #expect(problem("amqp://h", exchange: "amq.topic")?.contains("amq.") == true)
    #expect(problem("amqp://h", queue: String(repeating: "x", count: 256))?.contains("dead-letter queue") == true)
    #expect(problem("amqp://h", queue: "a\nb")?.contains("control character") == true)
  }

  @Test func `Nothing that is printed has the password`() throws {
    let settings = try RabbitSettings(url: "amqp://user:geheim@host/v")
    var dumped = ""
    dump(settings, to: &dumped)
    for text in ["\(settings)", String(reflecting: settings), dumped] {
      #expect(!text.contains("geheim") && text.contains("user:***@host"), "\(text)")
    }
  }
}
