// A Martlet server with a task type of its own. It is `martlet serve` with one handler more: the same settings from the
// environment and `martlet.yaml`, the same API, the same database. Its argument is the folder of the images:
//
//   swift run EmbeddedWorker images

internal import Foundation
internal import Martlet

@main
struct EmbeddedWorker {
  static func main() async {
    let folder = CommandLine.arguments.dropFirst().first ?? "."
    do {
      try await MartletServer(handlers: [ResizeImage(folder: URL(fileURLWithPath: folder, isDirectory: true))]).run()
    } catch {
      FileHandle.standardError.write(Data("embedded-worker: \(error)\n".utf8))
      exit(1)
    }
  }
}
