// Where AWS credentials come from, against servers that answer as containers' and machines' do.

import Foundation
import MartletCore
import ScriptedServer
import Synchronization
import Testing

@testable import Martlet

@Suite struct CredentialChainTests {
  /// What changes in the course of a test.
  private final class Stage: Sendable {
    let time = Mutex(CredentialChainTests.now)
    let isDown = Atomic(false)
  }

  private static let now = Timestamp(milliseconds: 1_800_000_000_000)
  private static let machineOff = ["AWS_EC2_METADATA_DISABLED": "true"]

  private static func chain(_ environment: [String: String]) -> CredentialChain {
    CredentialChain(environment) { now }
  }

  private static func json(_ key: String, expiration: Timestamp? = nil) -> String {
    let end = expiration.map { #","Expiration":"\#($0)""# } ?? ""
    return #"{"Code":"Success","AccessKeyId":"\#(key)","SecretAccessKey":"s","Token":"t"\#(end)}"#
  }

  private static func failure(_ environment: [String: String]) async -> String {
    do throws(AWSFailure) {
      return "\(try await chain(environment).credentials())"
    } catch {
      return error.description
    }
  }

  @Test func `the environment comes first`() async throws {
    let found = try await Self.chain([
      "AWS_ACCESS_KEY_ID": "K", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T", "AWS_PROFILE": "nobody",
    ]).credentials()
    #expect(found == AWSCredentials(accessKey: "K", secretKey: "S", sessionToken: "T"))
    #expect(await Self.failure(["AWS_ACCESS_KEY_ID": "K"]).contains("AWS_SECRET_ACCESS_KEY is not"))
  }

  @Test func `a profile of the shared file comes next`() async throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())")
    defer { try? FileManager.default.removeItem(at: file) }
    let text = """
      # two of them
      [default]
      aws_access_key_id = D
      aws_secret_access_key=s=/+
      [ work ]
      aws_access_key_id=W
      aws_secret_access_key = w
      aws_session_token = t
      [half]
      aws_access_key_id=H
      """
    try Data(text.utf8).write(to: file)
    let place = ["AWS_SHARED_CREDENTIALS_FILE": file.path]
    let standard = try await Self.chain(place).credentials()
    #expect(standard == AWSCredentials(accessKey: "D", secretKey: "s=/+"))
    let work = try await Self.chain(place.merging(["AWS_PROFILE": "work"]) { $1 }).credentials()
    #expect(work == AWSCredentials(accessKey: "W", secretKey: "w", sessionToken: "t"))
    #expect(await Self.failure(place.merging(["AWS_PROFILE": "half"]) { $1 }).contains("lacks"))
    #expect(await Self.failure(place.merging(["AWS_PROFILE": "none"]) { $1 }).contains("no profile none"))
    #expect(await Self.failure(["AWS_SHARED_CREDENTIALS_FILE": "/no/such/file"]).contains("cannot be read"))
  }

  @Test func `a container is asked with its token, which a file may hold`() async throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())")
    defer { try? FileManager.default.removeItem(at: file) }
    try Data("from-a-file\n".utf8).write(to: file)
    try await ScriptedServer.serving { _, _ in
      .json(200, Self.json("C"))
    } _: { server in
      let place = ["AWS_CONTAINER_CREDENTIALS_FULL_URI": server.address + "/role?x=1"]
      let found = try await Self.chain(place.merging(["AWS_CONTAINER_AUTHORIZATION_TOKEN": "plain"]) { $1 })
        .credentials()
      #expect(found.accessKey == "C" && found.sessionToken == "t")
      _ = try await Self.chain(
        place.merging(["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file.path]) { $1 }
      ).credentials()
      #expect(server.requests.map(\.target) == ["/role?x=1", "/role?x=1"])
      #expect(server.requests.map { $0.headers["authorization"] } == ["plain", "from-a-file"])
    }
    let elsewhere = await Self.failure(["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/role"])
    #expect(elsewhere.contains("must be https, or http to loopback"))
  }

  @Test func `a machine is asked in a session`() async throws {
    try await ScriptedServer.serving { request, _ in
      switch (request.method, request.path) {
      case ("PUT", "/latest/api/token"): .body(200, Array("session".utf8), headers: [:])
      case ("GET", "/latest/meta-data/iam/security-credentials/"): .body(200, Array("my-role\n".utf8), headers: [:])
      case ("GET", "/latest/meta-data/iam/security-credentials/my-role"): .json(200, Self.json("M"))
      default: .json(404, "{}")
      }
    } _: { server in
      let found = try await Self.chain(["AWS_EC2_METADATA_SERVICE_ENDPOINT": server.address]).credentials()
      #expect(found.accessKey == "M")
      #expect(server.requests.map(\.method) == ["PUT", "GET", "GET"])
      #expect(server.requests[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600")
      #expect(server.requests.dropFirst().allSatisfy { $0.headers["x-aws-ec2-metadata-token"] == "session" })
    }
  }

  @Test func `credentials are asked for again before they end, and the old ones serve while that fails`() async throws {
    let stage = Stage()
    try await ScriptedServer.serving { _, number in
      if stage.isDown.load(ordering: .relaxed) { return .json(500, "{}") }
      return .json(200, Self.json("C\(number)", expiration: Self.now + .seconds(3600 * (number + 1))))
    } _: { server in
      let chain = CredentialChain(["AWS_CONTAINER_CREDENTIALS_FULL_URI": server.address]) {
        stage.time.withLock(\.self)
      }
      for _ in 1...3 {
        let found = try await chain.credentials()
        #expect(found.accessKey == "C0")
      }
      stage.time.withLock { $0 = Self.now + .seconds(3301) }
      #expect(try await chain.credentials().accessKey == "C1")
      stage.isDown.store(true, ordering: .relaxed)
      stage.time.withLock { $0 = Self.now + .seconds(7000) }
      #expect(try await chain.credentials().accessKey == "C1")
      stage.time.withLock { $0 = Self.now + .seconds(7201) }
      await #expect(throws: AWSFailure.self) { try await chain.credentials() }
    }
  }

  @Test func `where there are none, it says where was looked`() async {
    let line = await Self.failure(Self.machineOff)
    #expect(line.contains("neither in the environment, nor in a profile, nor from a container or the machine"))
  }
}
