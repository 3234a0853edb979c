// The task type `resize-image`: all that a type needs is this one file. Images are in the PPM format, so that it
// needs no library either.
//
//   curl http://127.0.0.1:8080/tasks -H 'Content-Type: application/json' \
//     -d '{"type":"resize-image","payload":{"source":"bird.ppm","target":"small.ppm","width":320}}'

internal import Foundation
internal import Martlet

struct ResizeImage: TaskHandler {
  struct Payload: Codable, Sendable {
    /// File names in the folder.
    var source: String
    var target: String
    /// The height follows from it.
    var width: Int
  }

  struct Resized: Codable, Sendable {
    var width: Int
    var height: Int
    var bytes: Int
  }

  static let type = "resize-image"

  let folder: URL

  private static let longestUpload = Duration.seconds(3600)

  /// Whoever submits nonsense is told at once (422), with all that is wrong.
  func problems(in payload: Payload) -> [ValidationProblem] {
    var problems: [ValidationProblem] = []
    for (pointer, name) in [("/source", payload.source), ("/target", payload.target)]
    where name.isEmpty || name.hasPrefix(".") || name.contains("/") {
      problems.append(ValidationProblem(pointer: pointer, detail: "must be the name of a file, without a folder"))
    }
    if payload.source == payload.target {
      problems.append(ValidationProblem(pointer: "/target", detail: "must not be the source"))
    }
    if !(1...10_000).contains(payload.width) {
      problems.append(ValidationProblem(pointer: "/width", detail: "must be from 1 to 10000"))
    }
    return problems
  }

  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
    let source = folder.appendingPathComponent(payload.source)
    guard FileManager.default.fileExists(atPath: source.path) else {
      // Still being uploaded, it seems. A snooze holds no worker and costs no retry; a failure would cost one.
      guard context.startedAt - context.createdAt < Self.longestUpload else {
        throw TaskFailure.permanent("\(payload.source) has not come within an hour", type: "NO_SOURCE")
      }
      context.log("\(payload.source) is not there yet")
      return .snooze(for: .seconds(1))
    }
    guard let image = Image(ppm: try Data(contentsOf: source)) else {
      throw TaskFailure.permanent("\(payload.source) is no binary PPM image", type: "NO_IMAGE")
    }
    context.log("\(payload.source) is \(image.width) × \(image.height)")

    let small = try image.resized(toWidth: payload.width) { done in
      // A cancelled task, a timeout and a shutdown all arrive here: stop soon.
      try Task.checkCancellation()
      context.progress(done * 100, "resizing")
    }
    let bytes = small.ppm
    // An attempt may be made again after its work was done: writing the whole file in one step makes that harmless.
    try bytes.write(to: folder.appendingPathComponent(payload.target), options: .atomic)
    return try .success(Resized(width: small.width, height: small.height, bytes: bytes.count))
  }
}

/// Pixels of three bytes, row by row.
struct Image {
  var width: Int
  var height: Int
  var pixels: [UInt8]

  /// Nearest neighbour.
  /// - Parameter onRow: called before each row with the share that is done, 0…1.
  func resized(toWidth newWidth: Int, onRow: (Double) throws -> Void) rethrows -> Image {
    let newHeight = max(1, height * newWidth / width)
    var small = Image(width: newWidth, height: newHeight, pixels: [])
    small.pixels.reserveCapacity(newWidth * newHeight * 3)
    for row in 0..<newHeight {
      try onRow(Double(row) / Double(newHeight))
      for column in 0..<newWidth {
        let start = (row * height / newHeight * width + column * width / newWidth) * 3
        small.pixels += pixels[start..<start + 3]
      }
    }
    return small
  }
}

extension Image {
  /// `P6`, width, height and `255`, each followed by white space, then the pixels.
  init?(ppm: Data) {
    let fields = ppm.prefix(64).split(maxSplits: 4, whereSeparator: { $0 == 0x20 || $0 == 0x0A })
    guard fields.count == 5, fields[0].elementsEqual("P6".utf8), fields[3].elementsEqual("255".utf8),
      let width = Int(String(decoding: fields[1], as: UTF8.self)), (1...100_000).contains(width),
      let height = Int(String(decoding: fields[2], as: UTF8.self)), (1...100_000).contains(height)
    else { return nil }
    let pixels = ppm[fields[3].endIndex...].dropFirst()
    guard pixels.count == width * height * 3 else { return nil }
    self.init(width: width, height: height, pixels: Array(pixels))
  }

  var ppm: Data {
    Data("P6\n\(width) \(height)\n255\n".utf8) + pixels
  }
}
