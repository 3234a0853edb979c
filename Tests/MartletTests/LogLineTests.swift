// Lines of the log: one a record whatever is in it, and with what is known of the place where it is said.

import Foundation
import Logging
import MartletCore
import MartletHTTP
import MartletTelemetry
import Synchronization
import Testing
import Tracing

@testable import Martlet

@Suite struct LogLineTests {
  private func said(_ format: Settings.LogFormat, _ body: (Logger) -> Void) -> [String] {
    let lines = Mutex<[String]>([])
    let logger = Logger(label: "test") { _ in
      var handler = LineLogHandler(format: format) { bytes in
        lines.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
      }
      handler.metadataProvider = LineLogHandler.place
      return handler
    }
    body(logger)
    return lines.withLock(\.self)
  }

  private func object(_ line: String) throws -> [String: String] {
    try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
  }

  private static let nasty = "a\nb\r\u{1B}[31mc\u{0}\u{85}\u{2028}d\"\\"

  @Test(arguments: Settings.LogFormat.allCases)
  func `a record is one line, whatever its message, its fields and their names are made of`(
    format: Settings.LogFormat
  ) throws {
    let lines = said(format) { logger in
      logger.info("\(Self.nasty)", metadata: ["k\n\(Self.nasty)": "\(Self.nasty)", "list": ["\(Self.nasty)", "x"]])
    }
    let line = try #require(lines.first)
    #expect(lines.count == 1)
    #expect(line.last == "\n")
    let isEscaped = line.dropLast().unicodeScalars.allSatisfy { scalar in
      switch scalar.properties.generalCategory {
      case .control, .lineSeparator, .paragraphSeparator: false
      default: true
      }
    }
    #expect(isEscaped, "\(line.debugDescription)")
    if format == .json { #expect(try object(line)["message"] == Self.nasty) }
  }

  @Test func `a line says in which request and which span it is said`() throws {
    var context = ServiceContext.topLevel
    context.spanIdentity = TraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    let lines = said(.json) { logger in
      ServiceContext.$current.withValue(context) {
        RequestScope.$requestID.withValue("ask-7") { logger.info("within", metadata: ["own": "1"]) }
      }
      logger.info("without")
    }
    let within = try object(lines[0])
    #expect(within["trace_id"] == "0af7651916cd43dd8448eb211c80319c")
    #expect(within["span_id"] == "b7ad6b7169203331")
    #expect((within["request_id"], within["own"]) == ("ask-7", "1"))
    #expect(try object(lines[1]).keys.sorted() == ["level", "message", "time"])
  }

  @Test func `what the logger or the line says itself goes before what the place says`() throws {
    let lines = said(.json) { logger in
      var logger = logger
      logger[metadataKey: "request_id"] = "mine"
      RequestScope.$requestID.withValue("ask-7") {
        logger.info("a")
        logger.info("b", metadata: ["request_id": "this"])
      }
    }
    #expect(try lines.map { try object($0)["request_id"] } == ["mine", "this"])
  }
}
