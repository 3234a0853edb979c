// Writes JSON straight into bytes: no tree, no reflection, payloads spliced in as they came.

/// Appends JSON values; commas are its own business.
package struct JSONWriter {
  package private(set) var bytes: [UInt8] = []
  private var needsComma = false

  package init(capacity: Int = 512) {
    bytes.reserveCapacity(capacity)
  }

  package mutating func object(_ body: (inout JSONWriter) -> Void) {
    nest("{", "}", body)
  }

  package mutating func array(_ body: (inout JSONWriter) -> Void) {
    nest("[", "]", body)
  }

  package mutating func array<Element>(
    of elements: some Sequence<Element>, _ write: (inout JSONWriter, Element) -> Void
  ) {
    array { writer in
      for element in elements { write(&writer, element) }
    }
  }

  /// The name of the next value.
  package mutating func name(_ name: String) {
    separate()
    quoted(name)
    bytes.append(UInt8(ascii: ":"))
    needsComma = false
  }

  /// The name of the next value: a string with its quotes, as it is.
  package mutating func name(raw json: [UInt8]) {
    separate()
    bytes.append(contentsOf: json)
    bytes.append(UInt8(ascii: ":"))
    needsComma = false
  }

  package mutating func string(_ text: String) {
    separate()
    quoted(text)
  }

  package mutating func int(_ value: Int) {
    separate()
    bytes.append(contentsOf: String(value).utf8)
  }

  /// Without a fraction where it has none. Not finite: `null`.
  package mutating func double(_ value: Double) {
    separate()
    let text = value.isFinite ? (Int64(exactly: value).map { String($0) } ?? String(value)) : "null"
    bytes.append(contentsOf: text.utf8)
  }

  package mutating func bool(_ value: Bool) {
    separate()
    bytes.append(contentsOf: (value ? "true" : "false").utf8)
  }

  package mutating func null() {
    separate()
    bytes.append(contentsOf: "null".utf8)
  }

  /// One JSON value, as it is.
  package mutating func raw(_ json: [UInt8]) {
    separate()
    bytes.append(contentsOf: json)
  }

  // MARK: Fields; nil writes `null`

  package mutating func field(_ name: String, _ value: String?) {
    self.name(name)
    if let value { string(value) } else { null() }
  }

  package mutating func field(_ name: String, _ value: Int?) {
    self.name(name)
    if let value { int(value) } else { null() }
  }

  package mutating func field(_ name: String, _ value: Double?) {
    self.name(name)
    if let value { double(value) } else { null() }
  }

  package mutating func field(_ name: String, _ value: Bool) {
    self.name(name)
    bool(value)
  }

  package mutating func field(_ name: String, _ value: Timestamp?) {
    field(name, value?.description)
  }

  package mutating func field(_ name: String, _ value: TaskID?) {
    field(name, value?.description)
  }

  package mutating func field(_ name: String, _ values: [String]) {
    self.name(name)
    array(of: values) { $0.string($1) }
  }

  package mutating func field(_ name: String, _ body: (inout JSONWriter) -> Void) {
    self.name(name)
    object(body)
  }

  private mutating func nest(_ open: Unicode.Scalar, _ close: Unicode.Scalar, _ body: (inout JSONWriter) -> Void) {
    separate()
    bytes.append(UInt8(ascii: open))
    needsComma = false
    body(&self)
    bytes.append(UInt8(ascii: close))
    needsComma = true
  }

  private mutating func separate() {
    if needsComma { bytes.append(UInt8(ascii: ",")) }
    needsComma = true
  }

  private mutating func quoted(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    var text = text
    text.withUTF8 { buffer in
      var clean = 0  // where the run of bytes begins that can be copied as they are
      for index in buffer.indices {
        let byte = buffer[index]
        guard byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") else { continue }
        bytes.append(contentsOf: buffer[clean..<index])
        escape(byte)
        clean = index + 1
      }
      bytes.append(contentsOf: buffer[clean...])
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private mutating func escape(_ byte: UInt8) {
    bytes.append(UInt8(ascii: "\\"))
    switch byte {
    case UInt8(ascii: "\n"): bytes.append(UInt8(ascii: "n"))
    case UInt8(ascii: "\r"): bytes.append(UInt8(ascii: "r"))
    case UInt8(ascii: "\t"): bytes.append(UInt8(ascii: "t"))
    case 0..<0x20:
      bytes.append(contentsOf: "u00".utf8)
      bytes.append(TaskID.hexDigit(byte >> 4))
      bytes.append(TaskID.hexDigit(byte & 15))
    default: bytes.append(byte)
    }
  }
}
