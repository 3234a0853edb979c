// `--backoff exponential:base=1s,factor=2,max=1h,jitter=0.2`: how long to wait before retries, as one value. Read for `submit`,
// `types set` and `schedules`, and written the same way where a backoff is shown.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore

extension Values {
  static let backoffHelp = ArgumentHelp(
    "How long to wait before a retry, for example exponential:base=1s,factor=2,max=1h,jitter=0.2: exponential, linear or fixed, "
      + "and any of these parts.", valueName: "form")

  /// A strategy, parts behind a colon, or parts alone. What is not there is left to the defaults.
  static func backoff(_ text: String) throws -> NewTask.Backoff {
    var backoff = NewTask.Backoff()
    var strategy: Substring? = text[...]
    var parts: Substring?
    if let colon = text.firstIndex(of: ":") {
      (strategy, parts) = (text[..<colon], text[text.index(after: colon)...])
    } else if text.contains("=") {
      (strategy, parts) = (nil, text[...])
    }
    if let strategy {
      guard let known = RetryPolicy.Strategy(rawValue: strategy.lowercased()) else { throw unknownForm }
      backoff.strategy = known
    }
    var seen: Set<Substring> = []
    for part in parts?.split(separator: ",", omittingEmptySubsequences: false) ?? [] {
      let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard sides.count == 2 else { throw unknownForm }
      guard seen.insert(sides[0]).inserted else { throw ValidationError("'\(sides[0])' is given twice") }
      try set(sides[0], String(sides[1]), in: &backoff)
    }
    return backoff
  }

  private static func set(_ name: Substring, _ value: String, in backoff: inout NewTask.Backoff) throws {
    switch name {
    case "base": backoff.baseSeconds = try seconds(value)
    case "max": backoff.maxSeconds = try seconds(value)
    case "factor": backoff.factor = try number(value, of: name)
    case "jitter": backoff.jitter = try number(value, of: name)
    default: throw unknownForm
    }
  }

  private static func number(_ text: String, of name: Substring) throws -> Double {
    guard let number = Double(text), number.isFinite else { throw ValidationError("\(name) must be a number") }
    return number
  }

  private static var unknownForm: ValidationError {
    ValidationError("a form such as exponential:base=1s,factor=2,max=1h,jitter=0.2 was expected (or linear, or fixed)")
  }
}

extension Format {
  /// As `--backoff` takes it.
  static func backoff(_ backoff: NewTask.Backoff) -> String {
    let seconds: [(String, Double?)] = [("base", backoff.baseSeconds), ("max", backoff.maxSeconds)]
    // The others do not use it.
    let factor = backoff.strategy == nil || backoff.strategy == .exponential ? backoff.factor : nil
    let numbers: [(String, Double?)] = [("factor", factor), ("jitter", backoff.jitter)]
    let parts =
      seconds.compactMap { name, value in value.map { "\(name)=\(number($0, places: 3))s" } }
      + numbers.compactMap { name, value in value.map { "\(name)=\(number($0, places: 3))" } }
    return [backoff.strategy?.rawValue, parts.isEmpty ? nil : parts.joined(separator: ",")].compactMap(\.self)
      .joined(separator: ":")
  }
}
