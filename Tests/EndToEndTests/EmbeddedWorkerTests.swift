// The example of a Swift team's own server: it carries out its own type beside the built-in ones.

internal import Foundation
internal import MartletCore
internal import Testing

extension EndToEnd {
  @Suite("The embedded worker")
  struct EmbeddedWorkerTests {
    @Test func `a task of a type of one's own is validated, waits for its image and succeeds`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve(by: "EmbeddedWorker", [scene.folder.path])
        let refused = try await server.api.post(
          "/tasks", #"{"type": "resize-image", "payload": {"source": "../x", "target": "small.ppm", "width": 0}}"#)
        #expect(refused.status == 422)
        let pointers = try refused.json()["errors"]?.elements?.map { $0["pointer"]?.string }
        #expect(pointers == ["/payload/source", "/payload/width"])

        let id = try await server.api.submit(
          #"{"type": "resize-image", "payload": {"source": "bird.ppm", "target": "small.ppm", "width": 2}}"#)
        try await eventually("it waits for the image") {
          try await server.api.attempts(of: id).first?["outcome"]?.string == "SNOOZED"
        }
        try Self.image(width: 4, height: 2).write(to: scene.file("bird.ppm"), options: .atomic)
        let task = try await server.api.task(id, becomes: "SUCCESS")
        #expect(task["result"]?["width"]?.int == 2)
        #expect(task["result"]?["height"]?.int == 1)
        #expect(task["retriesLeft"]?.int == 3)
        #expect(
          FileManager.default.contents(atPath: scene.file("small.ppm").path) == Data("P6\n2 1\n255\n".utf8) + [
            0, 0, 0, 2, 2, 2,
          ])
        let logs = try await server.api.attempts(of: id).last?["logs"]?.elements?.map { $0.string }
        #expect(logs == ["bird.ppm is 4 × 2"])

        let mail = try await server.api.submit(
          #"{"type": "email", "payload": {"to": "a@example.com", "subject": "x"}}"#)
        try await server.api.task(mail, becomes: "SUCCESS")
        #expect(try await server.stop() == .exited(0))
      }
    }

    /// Each pixel has the number of its place.
    private static func image(width: Int, height: Int) -> Data {
      Data("P6\n\(width) \(height)\n255\n".utf8)
        + (0..<width * height).flatMap { place in
          [UInt8](repeating: UInt8(place), count: 3)
        }
    }
  }
}
