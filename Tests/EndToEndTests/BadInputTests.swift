// Bodies made to cost the server more than they cost their sender: it refuses them within its limits, keeps its memory and goes on.

internal import AsyncHTTPClient
internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import Testing

extension EndToEnd {
  @Suite("Bad input")
  struct BadInputTests {
    /// A little less than `server.maxBodyBytes`.
    private static let size = 8_388_000
    /// Several times what was measured (190 MB, of which 70 MB is the program at rest); one such body without bounds took
    /// gigabytes.
    private static let mostMegabytes = 600

    /// One unit after the other between a head and a tail.
    private static func body(_ head: String, _ unit: (Int) -> String, _ tail: String) -> String {
      var body = head
      body.reserveCapacity(size)
      var number = 0
      while body.utf8.count < size - 100 {
        body += (number == 0 ? "" : ",") + unit(number)
        number += 1
      }
      return body + tail
    }

    private static let bodies: [(path: String, status: Int, make: @Sendable () -> String)] = [
      ("/tasks", 422, { body(#"{"type":"a","#, { #""x\#($0)":0"# }, "}") }),
      ("/tasks", 422, { body(#"{"type":"a","#, { _ in #""queue":0"# }, "}") }),
      ("/tasks", 422, { body(#"{"type":"a","metadata":{"#, { #""x\#($0)":"""# }, "}}") }),
      ("/tasks", 422, { body(#"{"type":"a","tags":["#, { _ in #""""# }, "]}") }),
      ("/tasks", 422, { body(#"{"type":"a","dependencies":["#, { _ in "0" }, "]}") }),
      ("/tasks", 422, { #"{"type":"\#(String(repeating: "x", count: size))"}"# }),
      ("/tasks", 422, { #"{"type":"a","tags":["\#(String(repeating: "\\u0301", count: size / 6 - 10))"]}"# }),
      ("/tasks", 422, { #"{"type":"a","priority":1\#(String(repeating: "0", count: size - 100))}"# }),
      ("/tasks", 422, { String(repeating: "[", count: size) }),
      ("/tasks", 413, { body(#"{"type":"a","payload":["#, { _ in "0" }, "]}") }),
      ("/tasks", 413, { body(#"{"type":"a","idempotencyKey":"k","payload":{"#, { #""x\#($0)":0"# }, "}}") }),
      ("/tasks/batch", 422, { body(#"{"tasks":["#, { _ in "{}" }, "]}") }),
      (
        "/tasks/batch", 422,
        {
          let task = "{" + (0..<800).map { #""x\#($0)":0"# }.joined(separator: ",") + "}"
          return #"{"tasks":[\#(Array(repeating: task, count: 900).joined(separator: ","))]}"#
        }
      ),
      ("/leases/renew", 422, { body(#"{"leases":["#, { _ in "0" }, "]}") }),
      (
        "/leases/finish", 200,
        { body(#"{"results":[{"leaseId":"x","outcome":"SUCCESS","logs":["#, { _ in #""""# }, "]}]}") }
      ),
    ]

    @Test func `bodies full of mistakes are refused in a few words, with little memory`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        for (path, status, make) in Self.bodies {
          let reply = try await server.api.post(path, make())
          #expect(reply.status == status, "\(path): \(reply.text.prefix(200))")
          #expect(reply.body.count < 64 * 1024)
          let peak = try Self.peakMegabytes(server)
          #expect(peak < Self.mostMegabytes, "\(path): \(reply.text.prefix(200))")
        }
        #expect(try await server.api.allTasks().isEmpty)
      }
    }

    @Test func `a body without end is cut off, and costs no memory`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        for head in [#"{"type":"resize","payload":"x"#, "["] {
          for _ in 0..<3 { await Self.stream(head, megabytes: 100, to: server.api.address + "/tasks") }
        }
        let peak = try Self.peakMegabytes(server)
        #expect(peak < Self.mostMegabytes)
        #expect(try await server.api.allTasks().isEmpty)
        _ = try await server.api.submit(#"{"type":"resize"}"#)
      }
    }

    /// In chunks, so that the server cannot know its length. Whether the client still gets to read why it is cut off is the
    /// client's affair; where it does, it is 413.
    private static func stream(_ head: String, megabytes: Int, to url: String) async {
      var request = HTTPClientRequest(url: url)
      request.method = .POST
      request.headers.add(name: "Content-Type", value: "application/json")
      let chunk = ByteBuffer(repeating: UInt8(ascii: "["), count: 1 << 20)
      let (chunks, more) = AsyncStream.makeStream(of: ByteBuffer.self)
      more.yield(ByteBuffer(string: head))
      for _ in 0..<megabytes { more.yield(chunk) }
      more.finish()
      request.body = .stream(chunks, length: .unknown)
      do {
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(120))
        #expect(response.status == .payloadTooLarge)
      } catch {
        #expect(!(error is CancellationError))
      }
    }

    /// The most memory that the process has had (`VmHWM` of proc(5)).
    private static func peakMegabytes(_ server: Server) throws -> Int {
      let status = try String(contentsOfFile: "/proc/\(server.program.processID)/status", encoding: .utf8)
      let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
      return try #require(line.split(separator: " ").compactMap { Int($0) }.first) / 1024
    }
  }
}
