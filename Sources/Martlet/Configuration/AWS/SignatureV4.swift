// Signs requests to AWS (Signature Version 4, docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
// Called by `ParameterStore`.

internal import Crypto
internal import MartletCore

/// Who asks AWS. Never shown.
struct AWSCredentials: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible {
  var accessKey: String
  var secretKey: String
  var sessionToken: String?
  /// Nil: they do not end.
  var expiresAt: Timestamp?

  var description: String { "AWS credentials" }
  var debugDescription: String { description }
}

struct SignatureV4: Sendable {
  var credentials: AWSCredentials
  var region: String
  var service: String

  struct Request: Sendable {
    var method: String
    /// Percent-encoded, as it is sent.
    var path = "/"
    /// Decoded.
    var query: [(name: String, value: String)] = []
    /// `host` among them.
    var headers: [(name: String, value: String)]
    var body: [UInt8] = []
  }

  /// The fields to add: `x-amz-date`, `x-amz-security-token` where there is one, `authorization`.
  func fields(for request: Request, at time: Timestamp) -> [(name: String, value: String)] {
    let date = Self.date(time)
    var added = [("x-amz-date", date)]
    if let token = credentials.sessionToken { added.append(("x-amz-security-token", token)) }
    var request = request
    request.headers += added.map { (name: $0.0, value: $0.1) }
    let (canonical, signed) = Self.canonical(request)
    let scope = "\(date.prefix(8))/\(region)/\(service)/aws4_request"
    let text = "AWS4-HMAC-SHA256\n\(date)\n\(scope)\n\(Self.hex(SHA256.hash(data: Array(canonical.utf8))))"
    let signature = Self.hex(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key(date)))
    let authorization =
      "AWS4-HMAC-SHA256 Credential=\(credentials.accessKey)/\(scope), SignedHeaders=\(signed), Signature=\(signature)"
    return added.map { (name: $0.0, value: $0.1) } + [(name: "authorization", value: authorization)]
  }

  private func key(_ date: String) -> SymmetricKey {
    var key = SymmetricKey(data: Array("AWS4\(credentials.secretKey)".utf8))
    for part in [String(date.prefix(8)), region, service, "aws4_request"] {
      key = SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: Array(part.utf8), using: key))
    }
    return key
  }

  /// The request in the one form that both sides sign, and the names of its headers.
  static func canonical(_ request: Request) -> (text: String, signedHeaders: String) {
    var values: [String: [String]] = [:]
    for (name, value) in request.headers {
      let words = value.split(separator: " ").joined(separator: " ")
      values[name.lowercased(), default: []].append(words)
    }
    let names = values.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    let headers = names.map { "\($0):\(values[$0, default: []].joined(separator: ","))\n" }.joined()
    let query = request.query.map { (encoded($0.name), encoded($0.value)) }
      .sorted { ($0.0, $0.1) < ($1.0, $1.1) }
      .map { "\($0.0)=\($0.1)" }.joined(separator: "&")
    let signed = names.joined(separator: ";")
    let text = [
      request.method, request.path, query, headers, signed, hex(SHA256.hash(data: request.body)),
    ].joined(separator: "\n")
    return (text, signed)
  }

  /// All but the unreserved characters of RFC 3986.
  private static func encoded(_ text: String) -> String {
    var encoded = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        encoded.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        encoded += "%" + String(byte >> 4, radix: 16, uppercase: true) + String(byte & 15, radix: 16, uppercase: true)
      }
    }
    return encoded
  }

  /// `20150830T123600Z`
  private static func date(_ time: Timestamp) -> String {
    String(time.description.prefix(19)).filter { $0 != "-" && $0 != ":" } + "Z"
  }

  private static func hex(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }
}
