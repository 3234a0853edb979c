// AWS' own examples of signatures (aws-sig-v4-test-suite, and the one of its guide).

import MartletCore
import Testing

@testable import Martlet

@Suite struct SignatureV4Tests {
  private static let credentials = AWSCredentials(
    accessKey: "AKIDEXAMPLE", secretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
  private static let time = Timestamp("2015-08-30T12:36:00Z") ?? Timestamp(milliseconds: 0)

  struct Example: Sendable, CustomTestStringConvertible {
    var name: String
    var request: SignatureV4.Request
    var signature: String
    var service = "service"

    var testDescription: String { name }
  }

  private static func request(
    _ method: String = "GET", path: String = "/", query: [(String, String)] = [], headers: [(String, String)] = [],
    body: String = ""
  ) -> SignatureV4.Request {
    SignatureV4.Request(
      method: method, path: path, query: query.map { (name: $0.0, value: $0.1) },
      headers: [(name: "Host", value: "example.amazonaws.com")] + headers.map { (name: $0.0, value: $0.1) },
      body: Array(body.utf8))
  }

  static let examples = [
    Example(
      name: "get-vanilla", request: request(),
      signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    Example(
      name: "get-vanilla-query-order-key-case",
      request: request(query: [("Param2", "value2"), ("Param1", "value1")]),
      signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    Example(
      name: "get-utf8", request: request(path: "/%E1%88%B4"),
      signature: "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    Example(
      name: "get-header-value-trim",
      request: request(headers: [("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")]),
      signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
    Example(
      name: "post-vanilla", request: request("POST"),
      signature: "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    Example(
      name: "post-x-www-form-urlencoded",
      request: request(
        "POST", headers: [("Content-Type", "application/x-www-form-urlencoded")], body: "Param1=value1"),
      signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
  ]

  @Test(arguments: examples)
  func `a request is signed as AWS signs it`(example: Example) {
    let signer = SignatureV4(credentials: Self.credentials, region: "us-east-1", service: example.service)
    let fields = signer.fields(for: example.request, at: Self.time)
    #expect(fields.first { $0.name == "x-amz-date" }?.value == "20150830T123600Z")
    let authorization = fields.first { $0.name == "authorization" }?.value ?? ""
    #expect(authorization.hasSuffix("Signature=\(example.signature)"), "\(SignatureV4.canonical(example.request).text)")
    #expect(
      authorization.hasPrefix(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="))
  }

  @Test func `the example of the guide`() {
    let request = SignatureV4.Request(
      method: "GET", query: [("Action", "ListUsers"), ("Version", "2010-05-08")],
      headers: [
        ("host", "iam.amazonaws.com"), ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
      ])
    let signer = SignatureV4(credentials: Self.credentials, region: "us-east-1", service: "iam")
    let authorization = signer.fields(for: request, at: Self.time).last?.value
    #expect(
      authorization
        == "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    )
  }

  @Test func `a session token is sent and signed`() {
    var credentials = Self.credentials
    credentials.sessionToken = "TOKEN"
    let fields = SignatureV4(credentials: credentials, region: "us-east-1", service: "service")
      .fields(for: Self.request("POST"), at: Self.time)
    #expect(fields.map(\.name) == ["x-amz-date", "x-amz-security-token", "authorization"])
    #expect(fields[2].value.contains("SignedHeaders=host;x-amz-date;x-amz-security-token"))
  }

  @Test func `credentials do not show themselves`() {
    #expect("\(Self.credentials)" == "AWS credentials" && String(reflecting: Self.credentials) == "AWS credentials")
  }
}
