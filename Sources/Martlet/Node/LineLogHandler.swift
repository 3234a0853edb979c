// The server's log: one line a record on standard error, for people or as JSON for machines.

internal import Foundation
package import Logging
internal import MartletCore
package import MartletEngine
internal import MartletHTTP
internal import MartletTelemetry
internal import Tracing

package struct LineLogHandler: LogHandler {
  /// That of the server, which may change, unless a logger was given its own.
  package var logLevel: Logger.Level {
    get { ownLevel ?? sharedLevel.current }
    set { ownLevel = newValue }
  }
  package var metadata: Logger.Metadata = [:]
  package var metadataProvider: Logger.MetadataProvider?
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
    Logger(label: "martlet") { _ in
      var handler = LineLogHandler(format: format, level: level)
      handler.metadataProvider = place
      return handler
    }
  }

  /// Which request and which span a line is said in, wherever it is said.
  package static let place = Logger.MetadataProvider {
    var fields: Logger.Metadata = [:]
    if let id = RequestScope.requestID { fields["request_id"] = "\(id)" }
    if let span = ServiceContext.current?.spanIdentity {
      fields["trace_id"] = "\(span.traceIDText)"
      fields["span_id"] = "\(span.spanIDText)"
    }
    return fields
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    let now = Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000))
    let fields = (metadataProvider?.get() ?? [:]).merging(metadata) { $1 }.merging(event.metadata ?? [:]) { $1 }
      .sorted { $0.key < $1.key }
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
    let rest = fields.map { " \(plain($0.key))=\(plain("\($0.value)"))" }.joined()
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
    return withoutBreaks(writer.bytes)
  }

  /// JSON allows some of what ends lines elsewhere, and what terminals obey, as it is. All of it can only be inside of a string.
  private static func withoutBreaks(_ json: [UInt8]) -> [UInt8] {
    guard json.contains(where: { $0 >= 0x7F }) else { return json }
    let text = String(decoding: json, as: UTF8.self).unicodeScalars.map { scalar in
      guard breaks(scalar) else { return String(scalar) }
      let digits = String(scalar.value, radix: 16)
      return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
    return Array(text.joined().utf8)
  }

  /// A record stays one line, and what a task says cannot drive the terminal.
  private static func plain(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: breaks) else { return text }
    return text.unicodeScalars.map { breaks($0) ? "\\u{\(String($0.value, radix: 16))}" : String($0) }.joined()
  }

  private static func breaks(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .lineSeparator, .paragraphSeparator: true
    default: false
    }
  }
}
