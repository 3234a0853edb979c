// `martlet-fuzz TARGET [options and folders of libFuzzer]`: feeds one of the parsers until it breaks or the time is over. Built and
// called by `scripts/fuzz`, and in no other build.

import CLibFuzzer
import FuzzTargets

@main enum Driver {
  nonisolated(unsafe) private static var chosen: FuzzTarget?

  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count > 1, let target = FuzzTarget.all.first(where: { $0.name == arguments[1] }) else {
      for target in FuzzTarget.all { print("\(target.name)\t\(target.about)") }
      return
    }
    chosen = target
    var count = CInt(arguments.count)
    let options = [arguments[0], "-max_len=\(target.longest)"] + arguments[2...]
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
