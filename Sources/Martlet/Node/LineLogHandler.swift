// The server's log: one line a record on standard error, for people or as JSON for machines.

internal import Foundation
package import Logging
internal import MartletCore
package import MartletEngine

package struct LineLogHandler: LogHandler {
  /// That of the server, which may change, unless a logger was given its own.
  package var logLevel: Logger.Level {
    get { ownLevel ?? sharedLevel.current }
    set { ownLevel = newValue }
  }
  package var metadata: Logger.Metadata = [:]
  private var ownLevel: Logger.Level?
  private let sharedLevel: Live<Logger.Level>
  private let format: Settings.LogFormat
  private let write: @Sendable ([UInt8]) -> Void

  package init(
    format: Settings.LogFormat, level: Live<Logger.Level> = Live(.info),
    write: @escaping @Sendable ([UInt8]) -> Void = { FileHandle.standardError.write(Data($0)) }
  ) {
    self.format = format
    sharedLevel = level
    self.write = write
  }

  package static func logger(_ settings: Settings.Log) -> Logger {
    logger(settings.format, level: Live(settings.level))
  }

  /// - Parameter level: of this logger and all that are made of it, also when it changes.
  package static func logger(_ format: Settings.LogFormat, level: Live<Logger.Level>) -> Logger {
    Logger(label: "martlet") { _ in LineLogHandler(format: format, level: level) }
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    let now = Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    let fields = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
    let line =
      switch format {
      case .text: Self.text(now, event.level, "\(event.message)", fields)
      case .json: Self.json(now, event.level, "\(event.message)", fields)
      }
    write(line + [UInt8(ascii: "\n")])
  }

  static func text(
    _ time: Timestamp, _ level: Logger.Level, _ message: String, _ fields: [(key: String, value: Logger.MetadataValue)]
  ) -> [UInt8] {
    let rest = fields.map { " \($0.key)=\(plain("\($0.value)"))" }.joined()
    return Array("\(time) \(level.rawValue.uppercased()) \(plain(message))\(rest)".utf8)
  }

  static func json(
    _ time: Timestamp, _ level: Logger.Level, _ message: String, _ fields: [(key: String, value: Logger.MetadataValue)]
  ) -> [UInt8] {
    var writer = JSONWriter()
    writer.object { writer in
      writer.field("time", time)
      writer.field("level", level.rawValue)
      writer.field("message", message)
      for (key, value) in fields where !["time", "level", "message"].contains(key) { writer.field(key, "\(value)") }
    }
    return writer.bytes
  }

  /// A record stays one line, and what a task says cannot drive the terminal.
  private static func plain(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else { return text }
    return text.unicodeScalars.map { scalar in
      scalar.properties.generalCategory == .control ? "\\u{\(String(scalar.value, radix: 16))}" : String(scalar)
    }.joined()
  }
}
