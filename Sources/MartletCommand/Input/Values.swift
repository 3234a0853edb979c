// Reads the values of options; what is wrong with one is said in a sentence, before any server is asked.

internal import ArgumentParser
internal import MartletClient
internal import MartletCore

enum Values {
  /// Seconds as a number, or with units: `90`, `1.5`, `500ms`, `90s`, `5m`, `1h30m`, `2d`.
  static func seconds(_ text: String) throws -> Double {
    let units = ["ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400]
    if text.utf8.allSatisfy({ ("0"..."9").contains(Character(Unicode.Scalar($0))) || $0 == UInt8(ascii: ".") }),
      let plain = Double(text), plain.isFinite
    {
      return plain
    }
    var total = 0.0
    var rest = Substring(text)
    while !rest.isEmpty {
      let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
      rest = rest.dropFirst(number.count)
      let unit = rest.prefix { $0.isASCII && $0.isLetter }
      rest = rest.dropFirst(unit.count)
      guard let value = Double(number), let factor = units[String(unit)] else {
        throw ValidationError("a number of seconds was expected, or a form such as 90s, 5m, 1h30m, 2d")
      }
      total += value * factor
    }
    guard !text.isEmpty, total.isFinite else { throw ValidationError("a number of seconds was expected") }
    return total
  }

  static func time(_ text: String) throws -> Timestamp {
    guard let time = Timestamp(text) else {
      throw ValidationError(
        "a time in RFC 3339 was expected, such as 2026-02-01T10:00:00Z or 2026-02-01T11:00:00+01:00")
    }
    return time
  }

  static func taskID(_ text: String) throws -> TaskID {
    guard let id = TaskID(text) else {
      throw ValidationError("a task's id was expected, such as 0190a7c4-5e1b-7cc3-98c4-dc0c0c07398f")
    }
    return id
  }

  /// A comma list, in either case; `FAILED` and `DEAD_LETTER` mean `DEAD`.
  static func statuses(_ text: String) throws -> Set<TaskStatus> {
    var statuses: Set<TaskStatus> = []
    for name in try names(text) {
      guard let status = TaskStatus(wireName: name.uppercased()) else {
        let all = TaskStatus.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("'\(name)' is none of \(all)")
      }
      statuses.insert(status)
    }
    return statuses
  }

  /// A comma list, in either case.
  static func noticeStatuses(_ text: String) throws -> Set<String> {
    let known = ["PENDING", "DELIVERED", "DEAD"]
    return Set(
      try names(text).map { name in
        guard known.contains(name.uppercased()) else {
          throw ValidationError("'\(name)' is none of \(known.joined(separator: ", "))")
        }
        return name.uppercased()
      })
  }

  /// `https://…` or an address, and behind a comma each the endings that it hears of: `ops@example.com,DEAD`.
  static func receiver(_ text: String) throws -> NoticeTarget {
    var receiver = Substring(try Values.text(text))
    var endings: Set<TaskStatus> = []
    // A URL may have commas too.
    while let comma = receiver.lastIndex(of: ",") {
      let name = receiver[comma...].dropFirst()
      guard name.allSatisfy({ $0.isLetter || $0 == "_" }) else { break }
      guard let status = TaskStatus(wireName: name.uppercased()), status.isFinal else {
        throw ValidationError("'\(name)' is none of SUCCESS, DEAD, CANCELLED")
      }
      endings.insert(status)
      receiver = receiver[..<comma]
    }
    let isURL = receiver.lowercased().hasPrefix("http://") || receiver.lowercased().hasPrefix("https://")
    return NoticeTarget(
      isURL ? .webhook(String(receiver)) : .email(String(receiver)),
      on: endings.isEmpty ? NoticeTarget.usualEndings : endings)
  }

  /// The same, or `none`.
  static func queueReceiver(_ text: String) throws -> NoticeTarget? {
    text.lowercased() == "none" ? nil : try receiver(text)
  }

  static func dependencyPolicy(_ text: String) throws -> DependencyPolicy {
    guard let policy = DependencyPolicy(rawValue: text.uppercased()) else {
      throw ValidationError("one of \(DependencyPolicy.allCases.map(\.rawValue).joined(separator: ", ")) was expected")
    }
    return policy
  }

  /// A number, or `none` for no limit.
  static func limit(_ text: String) throws -> QueueChanges.Limit<Int> {
    if text.lowercased() == "none" { return .unlimited }
    guard let value = Int(text) else { throw ValidationError("a whole number was expected, or none for no limit") }
    return .value(value)
  }

  /// A number with or without a fraction, or `none` for no limit.
  static func rate(_ text: String) throws -> QueueChanges.Limit<Double> {
    if text.lowercased() == "none" { return .unlimited }
    guard let value = Double(text), value.isFinite else {
      throw ValidationError("a number was expected, or none for no limit")
    }
    return .value(value)
  }

  /// A comma list. A variable of a shell that is not set makes an empty name: without one, the list would stand for everything.
  static func names(_ text: String) throws -> [String] {
    let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    guard !names.contains("") else { throw ValidationError("a name is empty; is a variable not set?") }
    return names
  }

  /// Anything but nothing; as above.
  static func text(_ text: String) throws -> String {
    guard !text.isEmpty else { throw ValidationError("it is empty; is a variable not set?") }
    return text
  }

  static func pair(_ text: String) throws -> Pair {
    guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
      throw ValidationError("a form such as name=value was expected")
    }
    return Pair(name: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
  }

  struct Pair: Hashable {
    var name: String
    var value: String
  }

  /// - Throws: a name that is given twice.
  static func map(_ pairs: [Pair], option: String) throws -> [String: String] {
    var map: [String: String] = [:]
    for pair in pairs where map.updateValue(pair.value, forKey: pair.name) != nil {
      throw CommandFailure(.usage, "\(option) gives '\(pair.name)' twice")
    }
    return map
  }
}
