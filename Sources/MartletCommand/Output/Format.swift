// Numbers and lengths of time as people read them.

internal import Foundation
internal import MartletCore

enum Format {
  /// `0.034 s`, `12.5 s`, `3 min 20 s`, `2 h 5 min`, `4 d 2 h`
  static func seconds(_ seconds: Double) -> String {
    switch seconds {
    case ..<10: return "\(number(seconds, places: 3)) s"
    case ..<60: return "\(number(seconds, places: 1)) s"
    default: break
    }
    guard seconds < 1e15 else { return "\(seconds) s" }  // a hostile number must not overflow
    let whole = Int(seconds)
    let (large, small): (Int, Int)
    let names: (String, String)
    switch whole {
    case ..<3600: (large, small, names) = (whole / 60, whole % 60, ("min", "s"))
    case ..<86_400: (large, small, names) = (whole / 3600, whole % 3600 / 60, ("h", "min"))
    default: (large, small, names) = (whole / 86_400, whole % 86_400 / 3600, ("d", "h"))
    }
    return small == 0 ? "\(large) \(names.0)" : "\(large) \(names.0) \(small) \(names.1)"
  }

  static func duration(_ duration: Duration) -> String {
    seconds(duration.secondsAsDouble)
  }

  /// Rounded, without zeros at the end.
  static func number(_ value: Double, places: Int = 2) -> String {
    var text = String(format: "%.\(places)f", value)
    if text.contains(".") {
      while text.hasSuffix("0") { text.removeLast() }
      if text.hasSuffix(".") { text.removeLast() }
    }
    return text
  }
}
