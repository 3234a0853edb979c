// `MARTLET_FUZZ_TARGET=… martlet-fuzz [options and folders of libFuzzer]`: feeds one of the parsers until it breaks or the time is
// over; without a target it lists them. The target is no argument, for libFuzzer starts the program again by itself where it merges.
// Built and called by `scripts/fuzz`, and in no other build.

import CLibFuzzer
import Foundation
import FuzzTargets

@main enum Driver {
  nonisolated(unsafe) private static var chosen: FuzzTarget?

  static func main() {
    let wanted = ProcessInfo.processInfo.environment["MARTLET_FUZZ_TARGET"]
    guard let target = FuzzTarget.all.first(where: { $0.name == wanted }) else {
      for target in FuzzTarget.all { print("\(target.name)\t\(target.about)") }
      return
    }
    chosen = target
    let options = [CommandLine.arguments[0], "-max_len=\(target.longest)"] + CommandLine.arguments.dropFirst()
    var count = CInt(options.count)
    // libFuzzer keeps them for as long as it runs.
    var texts: [UnsafeMutablePointer<CChar>?] = options.map { text in
      let bytes = Array(text.utf8CString)
      let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
      copy.initialize(from: bytes, count: bytes.count)
      return copy
    }
    texts.append(nil)
    texts.withUnsafeMutableBufferPointer { buffer in
      var start = buffer.baseAddress
      _ = LLVMFuzzerRunDriver(&count, &start) { bytes, count in
        Driver.feed(UnsafeBufferPointer(start: bytes, count: count))
      }
    }
  }

  private static func feed(_ bytes: UnsafeBufferPointer<UInt8>) -> CInt {
    do throws(Finding) {
      try chosen?.run(Array(bytes))
    } catch {
      fatalError(error.description)
    }
    return 0
  }
}
