// Settings as clients see and set them. Called by the routes of `/settings`.

internal import MartletCore
internal import MartletEngine

/// What is set for all nodes: by whole names (`{"tasks.maxRetries": 5}`) or by sections (`{"tasks": {"maxRetries": 5}}`).
struct SettingsPatch {
  /// Values as JSON; nil takes an override away.
  private(set) var changes: [String: String?] = [:]
  /// Where each of them stands.
  private(set) var pointers: [String: String] = [:]
  /// What is wrong with the names. What is wrong with the values is judged later, so that all is told at once.
  private(set) var problems: [ValidationProblem] = []

  private let known: [String]

  /// Of a value; longer ones are none.
  private static let longest = 4096
  private static let most = 256

  /// - Parameter known: the names of all settings.
  /// - Throws: the text is no JSON (400), no object, or empty (422).
  init(json bytes: [UInt8], known: [String]) throws(Problem) {
    self.known = known
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(bytes) } catch { throw Problem(error) }
    var problems = Problems()
    guard root.kind == .object else { throw .invalid([ValidationProblem(pointer: "", detail: "must be an object")]) }
    read(root, key: "", at: "", &problems)
    if problems.all.isEmpty, changes.isEmpty { problems.add("", "must name at least one setting") }
    self.problems = problems.all
  }

  private mutating func read(_ section: JSONSlice, key prefix: String, at pointer: String, _ problems: inout Problems) {
    let members = section.members(atMost: Self.most + 1) ?? []
    if members.count > Self.most { problems.add(pointer, "has more than \(Self.most) fields") }
    for (name, value) in members.prefix(Self.most) where !problems.areFull {
      let key = prefix + name
      let place = pointer + "/" + JSONPointer.escaped(name)
      let isSection = value.kind == .object
      guard known.contains(where: { isSection ? $0.hasPrefix(key + ".") : $0 == key }) else {
        let hint = problems.areFull ? "" : nearestName(to: key, among: known).map { "; did you mean \($0)?" } ?? ""
        problems.add(place, "is not a known field" + hint)
        continue
      }
      if isSection {
        read(value, key: key + ".", at: place, &problems)
      } else if value.bytes.count > Self.longest {
        problems.add(place, "is longer than \(Self.longest) bytes")
      } else if value.hasLoneSurrogate {
        problems.add(place, "has half of a surrogate pair, which is no character")
      } else if pointers.updateValue(place, forKey: key) != nil {
        problems.add(place, "is given twice")
      } else if changes.count == Self.most {
        problems.add("", "names more than \(Self.most) settings")
      } else {
        changes.updateValue(value.isNull ? nil : String(decoding: value.bytes, as: UTF8.self), forKey: key)
      }
    }
  }
}

extension SettingsState {
  func writeFields(to json: inout JSONWriter) {
    json.field("revision", revision)
    json.name("settings")
    json.array(of: settings) { json, row in
      json.object { json in
        json.field("key", row.key)
        json.name("value")
        json.raw(row.value)
        json.field("source", row.source)
        json.name("override")
        if let override = row.override { json.raw(override) } else { json.null() }
        json.field("overridable", row.isOverridable)
        json.field("needsRestart", row.needsRestart)
        if let next = row.next {
          json.name("afterRestart")
          json.raw(next)
        }
      }
    }
    json.field("waitingForRestart", waiting)
    json.field("problems", problems)
  }
}

extension SettingsRevision {
  func write(to json: inout JSONWriter) {
    json.object { json in
      json.field("revision", number)
      json.field("at", at)
      json.field("actor", actor)
      json.name("changes")
      json.raw(Array(OverrideColumn.text(changes).utf8))
      json.name("overrides")
      json.raw(Array(OverrideColumn.text(overrides).utf8))
    }
  }
}
