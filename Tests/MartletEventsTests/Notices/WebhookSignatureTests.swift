// Signatures against the published vector of Standard Webhooks, and what a receiver may believe.

import Crypto
import Foundation
import MartletCore
import Testing

@testable import MartletEvents

@Suite struct WebhookSignatureTests {
  private let id = "msg_p5jXN8AQM9LWM0D4loKWxJek"
  private let body = Array(#"{"test": 2432232314}"#.utf8)
  private let time = Timestamp(milliseconds: 1_614_265_330_000)
  private let published = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
  private let secret: WebhookSecret
  private let newSecret: WebhookSecret
  private let strange: WebhookSecret

  init() throws {
    secret = try WebhookSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    newSecret = try WebhookSecret("whsec_" + Data((0..<32).map { UInt8($0) }).base64EncodedString())
    strange = try WebhookSecret("whsec_" + Data(repeating: 7, count: 64).base64EncodedString())
  }

  private func headers(_ secrets: [WebhookSecret], at time: Timestamp? = nil) -> [String: String] {
    let headers = WebhookSignature.headers(id: id, time: time ?? self.time, body: body, secrets: secrets)
    return Dictionary(uniqueKeysWithValues: headers.map { ($0.name, $0.value) })
  }

  private func verify(
    _ signature: String, timestamp: String = "1614265330", id: String? = nil, body: [UInt8]? = nil,
    with secrets: [WebhookSecret]? = nil, late: Duration = .zero
  ) throws {
    try WebhookSignature.verify(
      id: id ?? self.id, timestamp: timestamp, signature: signature, body: body ?? self.body,
      secrets: secrets ?? [secret], now: time + late)
  }

  @Test func `the published vector comes out`() {
    #expect(
      headers([secret]) == ["webhook-id": id, "webhook-timestamp": "1614265330", "webhook-signature": published])
  }

  @Test func `the time is in whole seconds, and only it changes from delivery to delivery`() throws {
    let later = headers([secret], at: time + .milliseconds(61_999))
    #expect(later["webhook-timestamp"] == "1614265391" && later["webhook-id"] == id)
    #expect(later["webhook-signature"] != published)
  }

  @Test func `while secrets rotate both sign, and either is enough for a receiver`() throws {
    let signature = try #require(headers([newSecret, secret])["webhook-signature"])
    #expect(signature.split(separator: " ").count == 2)
    #expect(signature.hasSuffix(" " + published))
    try verify(signature, with: [secret])
    try verify(signature, with: [newSecret])
    try verify(published, with: [newSecret, secret])
    #expect(throws: WebhookProblem.self) { try verify(signature, with: [strange]) }
  }

  @Test func `without a secret nothing is signed`() {
    #expect(headers([])["webhook-signature"] == nil)
  }

  @Test func `what was changed on the way is not believed`() throws {
    try verify(published)
    #expect(throws: WebhookProblem.self) { try verify(published, body: body + [32]) }
    #expect(throws: WebhookProblem.self) { try verify(published, id: "other") }
    #expect(throws: WebhookProblem.self) { try verify(published, timestamp: "1614265331") }
    #expect(throws: WebhookProblem.self) { try verify(published, with: [strange]) }
    #expect(throws: WebhookProblem.self) { try verify(published, with: []) }
  }

  @Test(arguments: [
    "", "v1,", "v1", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1O==", "v1,***",
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ", "v1,AAAA",
  ])
  func `a signature that is none is not believed`(_ signature: String) {
    #expect(throws: WebhookProblem.self) { try verify(signature) }
  }

  @Test func `signatures of other kinds beside a right one do no harm`() throws {
    try verify("v1a,xyz v1,AAAA \(published) v9,?")
  }

  @Test func `five minutes to either side are believed, and no more`() throws {
    try verify(published, late: .seconds(300))
    try verify(published, late: .seconds(-300))
    #expect(throws: WebhookProblem.self) { try verify(published, late: .milliseconds(300_001)) }
    #expect(throws: WebhookProblem.self) { try verify(published, late: .milliseconds(-300_001)) }
  }

  @Test(arguments: [
    "", "x", "-1", "+1614265330", " 1614265330", "01614265330", "99999999999999999999", "9223372036854775807",
  ])
  func `a time that is none is not believed`(_ timestamp: String) {
    #expect(throws: WebhookProblem.self) { try verify(published, timestamp: timestamp) }
  }

  @Test(arguments: [
    "", "whsec_", "secret", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa",
    "whsec_not base64!",
    "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + String(repeating: "A", count: 88),
  ])
  func `a secret that is none is refused without being repeated`(_ text: String) throws {
    let problem = #expect(throws: WebhookProblem.self) { try WebhookSecret(text) }
    #expect(try #require(problem).reason.hasPrefix("must be whsec_ and 24 to 64 random bytes"))
    if text.utf8.count > 6 { #expect(try #require(problem).reason.contains(text) == false) }
  }

  @Test func `a secret is never shown`() {
    var dumped = ""
    dump(secret, to: &dumped)
    for text in ["\(secret)", String(reflecting: secret), "\([secret])", dumped] {
      #expect(!text.contains("MfKQ"))
    }
  }
}
