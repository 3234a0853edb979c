// SEND_EMAIL, DELAYED_MESSAGE and FAIL_SOMETIMES, and the set of built-in handlers as a whole.

import Foundation
import MartletCore
import Testing

@testable import Martlet
@testable import MartletEngine

@Suite("The built-in handlers")
struct BuiltInHandlersTests {
  @Test("answer to the names of the contract")
  func names() async throws {
    let handlers = BuiltInHandlers(settings: Settings())
    let registry = try HandlerRegistry(handlers.all)
    #expect(registry.types == ["DELAYED_MESSAGE", "FAIL_SOMETIMES", "SEND_EMAIL", "WEBHOOK_CALL", "email"])
    await handlers.shutdown()
  }

  @Test("may be left without ever being used, and shut down twice")
  func shutdown() async {
    let handlers = BuiltInHandlers(settings: Settings())
    await handlers.shutdown()
    await handlers.shutdown()
  }
}

@Suite("Payloads that cannot be decoded")
struct UndecodablePayloadTests {
  private struct Anything: TaskHandler {
    struct Payload: Codable, Sendable {
      struct Item: Codable, Sendable { var count: Int? }
      enum Size: String, Codable { case small, large }
      var byte: UInt8?
      var items: [Item]?
      var ratio: Double?
      var size: Size?
      var text: String?
      var id: UUID?
    }
    static let type = "ANYTHING"
    func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult { .done }
  }

  @Test(
    "are told by the field, in words of our own",
    arguments: [
      (#"{"items":[{"count":1},{"count":1.5}]}"#, "/items/1/count must be a whole number"),
      (#"{"ratio":0.5,"items":[{"count":2.5}],"x":1e400}"#, "/items/0/count must be a whole number"),
      (#"{"items":[{"count":1e30}]}"#, "/items/0/count is a number out of range"),
      (#"{"byte":256}"#, "/byte is a number out of range"),
      (#"{"byte":-1.25,"ratio":1.5}"#, "/byte must be a whole number"),
      (#"{"size":"huge"}"#, "/size is not one of the values that are taken"),
      (#"{"text":"a\ud800"}"#, "/text has half of a surrogate pair, which is no character"),
      (#"{"id":"x"}"#, "/id cannot be read as a UUID"),
    ])
  func told(payload: String, problem: String) throws {
    #expect(try problems(Anything(), payload) == [problem])
  }

  @Test("a seed that is no whole number is refused at its place")
  func seed() throws {
    let handler = FailSometimes(random: RandomSource(seed: 1))
    #expect(try problems(handler, #"{"probability":0.5,"seed":1.5}"#) == ["/seed must be a whole number"])
  }
}

@Suite("SEND_EMAIL")
struct SendEmailTests {
  @Test("accepts both bodies of the contract as they stand, and says that the mail was simulated")
  func contract() async throws {
    for payload in [
      #"{"to":"user@example.com","subject":"Welcome"}"#,
      #"{"to":"user@example.com","subject":"Welcome to Our Platform!","content":"<h1>…","from":"no-reply@example.com"}"#,
    ] {
      guard case .success(let result) = await run(SendEmail(), payload) else { throw CancellationError() }
      #expect(result.text == #"{"messageId":"<\#(Attempt.taskID)@martlet>","simulated":true}"#)
    }
  }

  @Test("gives all attempts of a task the same message id")
  func messageID() async throws {
    let payload = #"{"to":"a@b.example","subject":"x"}"#
    guard case .success(let first) = await run(SendEmail(), payload),
      case .success(let second) = await run(SendEmail(), payload, Attempt(number: 2))
    else { throw CancellationError() }
    #expect(first == second)
  }

  @Test("keeps the mail in the attempt's log")
  func log() async {
    let payload = #"{"to":"a@b.example","subject":"Hello","content":"Dear A"}"#
    let context = Attempt().context(payload: payload)
    _ = await run(SendEmail(), payload, in: context)
    #expect(context.logLines == ["info: mail to a@b.example: Hello", "Dear A"])
  }

  @Test(
    "takes addresses with and without a name",
    arguments: ["a@b", "a.b+c@d-e.example", "Ann B. <ann@example.com>", "ä@ö.example"])
  func addresses(address: String) throws {
    #expect(try problems(SendEmail(), "{\"to\":\"\(address)\",\"subject\":\"x\"}") == [])
  }

  @Test(
    "refuses what cannot be an address",
    arguments: [
      "", "a", "a@", "@b", "a@b@c", "a b@c", "a@b c", "a@b..c", "a@.b", "a@b.", "x@y.example\\nBcc: all@z.example",
      "a@b,c@d",
      "<>", "Ann <ann>", "Ann <a@b> x",
    ])
  func noAddresses(address: String) throws {
    let problem = " must be an email address, such as user@example.com"
    #expect(try problems(SendEmail(), "{\"to\":\"\(address)\",\"subject\":\"x\"}") == ["/to" + problem])
    #expect(
      try problems(SendEmail(), "{\"to\":\"a@b\",\"from\":\"\(address)\",\"subject\":\"x\"}") == ["/from" + problem])
  }

  @Test("refuses a subject that would begin another header")
  func subject() throws {
    #expect(
      try problems(SendEmail(), #"{"to":"a@b","subject":"x\r\nBcc: all@example.com"}"#) == [
        "/subject must not contain control characters"
      ])
    #expect(try problems(SendEmail(), #"{"to":"a@b","subject":""}"#) == ["/subject must be 1 to 998 characters long"])
  }

  @Test("says what is missing or of the wrong kind, and takes fields that it does not know")
  func fields() throws {
    #expect(try problems(SendEmail(), "{}") == ["/to is required"])
    #expect(try problems(SendEmail(), #"{"to":"a@b"}"#) == ["/subject is required"])
    #expect(try problems(SendEmail(), #"{"to":5,"subject":"x"}"#) == ["/to must be a string"])
    #expect(try problems(SendEmail(), #"{"to":"a@b","subject":"x","from":null,"template":"welcome"}"#) == [])
  }
}

@Suite("DELAYED_MESSAGE")
struct DelayedMessageTests {
  private let payload = #"{"message":"hello","delaySeconds":2.5}"#

  @Test("comes at the task's own time when the payload names no delay, and tells its lateness")
  func taskDelay() async throws {
    let attempt = Attempt(availableAt: .init(milliseconds: 1_060_000), startedAt: .init(milliseconds: 1_060_125))
    guard case .success(let result) = await run(DelayedMessage(), #"{"message":"hello"}"#, attempt) else {
      throw CancellationError()
    }
    #expect(result.text == #"{"latenessSeconds":0.125,"message":"hello"}"#)
    let dated = Attempt(
      number: 2, runAt: .init(milliseconds: 1_050_000), availableAt: .init(milliseconds: 1_060_000),
      startedAt: .init(milliseconds: 1_060_000))
    guard case .success(let late) = await run(DelayedMessage(), #"{"message":"hello"}"#, dated) else {
      throw CancellationError()
    }
    #expect(late["latenessSeconds"] as? Double == 10)
  }

  @Test("snoozes for what is left of the payload's delay, counted from the submission")
  func snooze() async throws {
    let early = Attempt(startedAt: .init(milliseconds: 1_000_500))
    guard case .snoozed(let left) = await run(DelayedMessage(), payload, early) else { throw CancellationError() }
    #expect(left == .seconds(2))
    let due = Attempt(
      number: 2, availableAt: .init(milliseconds: 1_002_500), startedAt: .init(milliseconds: 1_002_501))
    guard case .success(let result) = await run(DelayedMessage(), payload, due) else { throw CancellationError() }
    #expect(result["latenessSeconds"] as? Double == 0.001)
  }

  @Test("counts the payload's delay from runAt where there is one")
  func fromRunAt() async throws {
    let attempt = Attempt(
      runAt: .init(milliseconds: 1_010_000), availableAt: .init(milliseconds: 1_010_000),
      startedAt: .init(milliseconds: 1_010_000))
    guard case .snoozed(let left) = await run(DelayedMessage(), payload, attempt) else { throw CancellationError() }
    #expect(left == .milliseconds(2500))
  }

  @Test("is never early, not even by a fraction of a millisecond")
  func rounding() async throws {
    guard case .snoozed(let left) = await run(DelayedMessage(), #"{"message":"x","delaySeconds":0.0001}"#) else {
      throw CancellationError()
    }
    #expect(left == .milliseconds(1))
  }

  @Test("says what is wrong with its payload")
  func validation() throws {
    #expect(try problems(DelayedMessage(), "{}") == ["/message is required"])
    #expect(
      try problems(DelayedMessage(), #"{"message":"x","delaySeconds":-1}"#) == [
        "/delaySeconds must be from 0 to 3155760000"
      ])
  }
}

@Suite("FAIL_SOMETIMES")
struct FailSometimesTests {
  private func outcomes(_ payload: String, seed: UInt64 = 1, attempts: Int = 400) async -> [Bool] {
    let handler = FailSometimes(random: RandomSource(seed: seed))
    var outcomes: [Bool] = []
    for number in 1...attempts {
      switch await run(handler, payload, Attempt(number: number)) {
      case .success: outcomes.append(true)
      case .failed(let failure):
        #expect(failure.isRetryable && failure.error.type == "SIMULATED_FAILURE")
        outcomes.append(false)
      default: Issue.record("neither succeeded nor failed")
      }
    }
    return outcomes
  }

  @Test("fails with the probability that was asked for, half of the time unless told otherwise")
  func probability() async {
    let half = await outcomes("{}").filter(\.self).count
    #expect((150...250).contains(half))
    let rare = await outcomes(#"{"probability":0.1}"#).filter(\.self).count
    #expect((330...390).contains(rare))
  }

  @Test("never fails at 0 and always fails at 1")
  func certainty() async {
    #expect(await outcomes(#"{"probability":0}"#, attempts: 50).allSatisfy(\.self))
    #expect(await outcomes(#"{"probability":1}"#, attempts: 50).allSatisfy { !$0 })
    #expect(await outcomes(#"{"probability":1,"seed":3}"#, attempts: 50).allSatisfy { !$0 })
  }

  @Test("fails in the same attempts every time when it has a seed, and in others with another")
  func seeded() async {
    let first = await outcomes(#"{"seed":42}"#, seed: 1)
    #expect(await outcomes(#"{"seed":42}"#, seed: 2) == first)
    #expect(await outcomes(#"{"seed":43}"#, seed: 1) != first)
    #expect((150...250).contains(first.filter(\.self).count))
  }

  @Test("draws anew for each attempt when it has none")
  func unseeded() async {
    #expect(await outcomes("{}", seed: 1) != outcomes("{}", seed: 2))
  }

  @Test("refuses what is no probability")
  func validation() throws {
    let handler = FailSometimes(random: .system)
    #expect(try problems(handler, #"{"probability":1.1}"#) == ["/probability must be from 0 to 1"])
    #expect(try problems(handler, #"{"probability":"often"}"#) == ["/probability must be a number"])
    #expect(try problems(handler, #"{"seed":1.5}"#).count == 1)
  }
}
