// The YAML file, read once: which one it is, its bytes, and its values with the line of each. Every way in which a file can be
// wrong is one problem with one line of text. Called by `Settings.load`.

internal import Foundation
internal import MartletCore
internal import Yams

/// A configuration file that exists.
struct ConfigurationFile {
  /// As messages name it.
  let name: String
  let text: String

  /// Read when no file is named and it is there.
  static let defaultName = "martlet.yaml"
  private static let largest = 1_048_576

  /// Nil when there is none to read, or when it cannot be read, which is then a problem.
  /// - Parameter named: the path that was given, and where it was given.
  init?(named: (path: String, origin: String)?, in directory: String, problems: inout [SettingsProblem]) {
    let path = named?.path ?? Self.defaultName
    let absolute = path.hasPrefix("/") ? path : directory + "/" + path
    let problem: String
    switch Self.read(absolute) {
    case .success(let bytes) where bytes.count > Self.largest:
      problem = "is larger than 1 MiB"
    case .success(let bytes):
      if let text = String(validating: bytes, as: UTF8.self) {
        name = path
        self.text = text.hasPrefix("\u{FEFF}") ? String(text.dropFirst()) : text
        return
      }
      problem = "is not UTF-8 text"
    case .failure(let failure) where failure.code == ENOENT:
      guard named != nil else { return nil }
      problem = "there is no such file"
    case .failure(let failure) where failure.code == EISDIR:
      problem = "is a directory, not a file"
    case .failure(let failure):
      problem = "cannot be read: " + String(cString: strerror(failure.code))
    }
    problems.append(
      named.map { named in
        SettingsProblem(
          key: Setting.fileKey, value: "\"\(Setting.printable(path))\"", source: named.origin, detail: problem)
      } ?? SettingsProblem(source: path, detail: problem))
    return nil
  }

  private struct ReadFailure: Error {
    let code: Int32
  }

  /// At most one byte more than is allowed, so that an endless file ends.
  private static func read(_ path: String) -> Result<[UInt8], ReadFailure> {
    guard let file = fopen(path, "re") else { return .failure(ReadFailure(code: errno)) }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: largest + 1)
    let count = fread(&bytes, 1, bytes.count, file)
    guard ferror(file) == 0 else { return .failure(ReadFailure(code: errno)) }
    return .success(Array(bytes[..<count]))
  }
}

extension ConfigurationLayer {
  /// A file with a fault in its syntax gives no values at all.
  static func file(_ file: ConfigurationFile, problems: inout [SettingsProblem]) -> ConfigurationLayer {
    var reader = YAMLEntries(file: file.name)
    do {
      let root = try Yams.compose(yaml: file.text)
      if let root { try reader.readRoot(root) }
      problems += reader.problems
    } catch {
      reader.entries = []
      problems.append(reader.problem(of: error))
    }
    return ConfigurationLayer(named: file.name, reader.entries, problems: &problems)
  }
}

/// Walks over a document and notes every leaf as `section.setting` with its line.
private struct YAMLEntries {
  let file: String
  var entries: [ConfigurationLayer.Entry] = []
  var problems: [SettingsProblem] = []

  init(file: String) {
    self.file = file
  }

  mutating func readRoot(_ root: Node) throws {
    if root.isNull { return }
    guard let mapping = root.mapping else {
      problems.append(
        SettingsProblem(source: origin(root), detail: "must be settings, such as `server:` with `port: 8080` beneath"))
      return
    }
    read(mapping, prefix: "")
  }

  private mutating func read(_ mapping: Node.Mapping, prefix: String) {
    for (key, value) in mapping {
      guard let name = key.scalar?.string else {
        problems.append(SettingsProblem(source: origin(key), detail: "the name of a setting must be a text"))
        continue
      }
      read(value, named: prefix + name, at: key)
    }
  }

  private mutating func read(_ value: Node, named name: String, at key: Node) {
    let setting = Setting.byAlias[name] ?? Setting.byKey[name]
    let isSection = setting == nil && Setting.supported.contains { $0.key.hasPrefix(name + ".") }
    let place = origin(key)
    func complain(_ detail: String) {
      problems.append(SettingsProblem(key: name, source: place, detail: detail))
    }
    switch value {
    case .mapping(let mapping) where setting == nil && name.utf8.count < 200:
      if isSection {
        read(mapping, prefix: name + ".")
      } else {
        entries.append(.init(name: name, value: .text(""), origin: place))  // unknown; its contents need no complaint
      }
    case .mapping: complain("must be a value, not a section")
    case _ where value.isNull:
      // `server:` with every line beneath it commented out.
      if !isSection { complain("has no value; leave the line out for the default") }
    case .scalar(let scalar) where !isSection: add(.text(scalar.string))
    case .sequence(let items) where !isSection:
      let texts = items.compactMap { $0.isNull ? nil : $0.scalar?.string }
      if texts.count == items.count { add(.list(texts)) } else { complain("must be a list of plain values") }
    case .scalar, .sequence, .alias: complain("is a section: its settings stand beneath it")
    }
    func add(_ raw: RawSetting) {
      if setting?.key == Setting.fileKey { return complain("cannot be set inside the file itself") }
      entries.append(.init(name: setting?.key ?? name, value: raw, origin: place))
    }
  }

  private func origin(_ node: Node) -> String {
    node.mark.map { "\(file):\($0.line)" } ?? file
  }

  func problem(of error: any Error) -> SettingsProblem {
    func at(_ mark: Mark, _ text: String) -> SettingsProblem {
      SettingsProblem(source: "\(file):\(mark.line)", detail: "is not valid YAML: " + Setting.printable(text))
    }
    return switch error as? YamlError {
    case .scanner(_, let text, let mark, _), .parser(_, let text, let mark, _), .composer(_, let text, let mark, _):
      at(mark, text)
    case .duplicatedKeysInMapping(let names, let context):
      at(context.mark, "\(names.sorted().joined(separator: ", ")) is given twice in one section")
    case .reader(let text, _, _, _):
      SettingsProblem(source: file, detail: "is not valid YAML: " + Setting.printable(text))
    default: SettingsProblem(source: file, detail: "is not valid YAML")
    }
  }
}

extension Node {
  /// Written as nothing, `~` or `null`, without quotes.
  fileprivate var isNull: Bool {
    guard case .scalar(let scalar) = self, scalar.style == .plain || scalar.style == .any else { return false }
    return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
  }
}
