// A broker that does not want us, or that is not there: one clear line each, and never the password.

internal import Foundation
internal import MartletCore
internal import RabbitServer
internal import Testing

@testable internal import MartletEvents

struct RabbitRefusalTests {
  private func refusal(_ settings: RabbitSettings) async -> String {
    let lines = RabbitLines()
    let sink = RabbitSink.make(settings, report: lines.add)
    let verdicts = await sink.deliver(rabbitDeadLetters(2))
    let line = verdicts[0].line ?? "delivered"
    #expect(verdicts == [.failed(line), .failed(line)])
    #expect(sink.health == RabbitHealth(isUp: false, trouble: line))
    #expect(lines.all == [line])
    #expect(!line.contains("\n") && !line.contains(settings.password))
    await sink.close()
    return line
  }

  private func place(_ server: RabbitServer) -> String { "RabbitMQ at localhost:\(server.port)" }

  @Test func `A wrong password`() async throws {
    let server = try await RabbitServer.shared
    let line = await refusal(try RabbitNames().settings(server.url(password: "not-this-one")))
    #expect(line.hasPrefix("\(place(server)) refuses the user app or the virtual host /: ACCESS_REFUSED"))
  }

  @Test func `A virtual host that does not exist`() async throws {
    let server = try await RabbitServer.shared
    let line = await refusal(try RabbitNames().settings(server.url(vhost: "no%2Fwhere")))
    #expect(
      line
        == "\(place(server)) refuses the user app or the virtual host no/where: NOT_ALLOWED - vhost no/where not found")
  }

  @Test func `An exchange of another kind`() async throws {
    let server = try await RabbitServer.shared
    let names = RabbitNames()
    try await server.probe().declareExchange(names.exchange, type: "fanout")
    let line = await refusal(try names.settings(server.url()))
    #expect(
      line.hasPrefix(
        "\(place(server)) refuses the exchange \(names.exchange): PRECONDITION_FAILED - inequivalent arg 'type'"))
  }

  @Test func `A dead-letter queue of another kind`() async throws {
    let server = try await RabbitServer.shared
    let names = RabbitNames()
    try await server.probe().declareQueue(names.deadLetters)
    let line = await refusal(try names.settings(server.url()))
    let words = "PRECONDITION_FAILED - inequivalent arg 'x-queue-type'"
    #expect(line.hasPrefix("\(place(server)) refuses the queue \(names.deadLetters): \(words)"))
  }

  @Test func `A user who may not`() async throws {
    let server = try await RabbitServer.shared
    let names = RabbitNames()
    try await server.control("add_user", names.queue, "small")
    try await server.control("set_permissions", names.queue, "^$", "^$", "^$")
    let line = await refusal(try names.settings(server.url(user: names.queue, password: "small")))
    #expect(line.hasPrefix("\(place(server)) refuses the exchange \(names.exchange): ACCESS_REFUSED"))
  }

  @Test func `Nobody who listens, and a name that nobody has`() async throws {
    let nobody = await refusal(try RabbitNames().settings("amqp://a:secret@127.0.0.1:1"))
    #expect(nobody == "RabbitMQ at 127.0.0.1:1 cannot be reached: the connection broke or was not taken")
    let unknown = await refusal(try RabbitNames().settings("amqp://a:secret@nobody.invalid"))
    #expect(unknown.hasPrefix("RabbitMQ at nobody.invalid:5672 cannot be reached: "))
  }

  @Test func `A consumer whose queue does not exist`() async throws {
    let server = try await RabbitServer.shared
    let names = RabbitNames()
    for untilEmpty in [false, true] {
      let consumer = RabbitConsumer(try names.settings(server.url())) { _ in }
      let failure = await #expect(throws: RabbitFailure.self) {
        try await consumer.consume(untilEmpty: untilEmpty) { _ in }
      }
      let words = "NOT_FOUND - no queue '\(names.deadLetters)' in vhost '/'"
      #expect(failure?.description == "\(place(server)) refuses the queue \(names.deadLetters): \(words)")
    }
  }
}
