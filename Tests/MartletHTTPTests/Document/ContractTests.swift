// The check against the document has to find each kind of difference, or it proves nothing.

internal import MartletCore
internal import Testing

@testable internal import MartletHTTP

@Suite struct ContractTests {
  private let id = "0198c0de-0000-7000-8000-000000000000"

  private func faults(
    _ method: String, _ target: String, body: String? = nil, status: Int = 200, _ answer: String,
    headers: [String: String] = ["content-type": "application/json"]
  ) throws -> [String] {
    let headers = headers.merging(["x-request-id": "1"]) { $1 }.mapValues { [$0] }
    let reply = Reply(status: status, headers: headers, bytes: Array(answer.utf8))
    return try Contract.served.get().faults(
      .init(method: method, target: target, body: body.map { Array($0.utf8) }, reply: reply))
  }

  private func problem(_ code: String, _ status: Int) -> String {
    """
    {"type":"urn:martlet:problem:\(code)","title":"t","status":\(status),"detail":"d","code":"\(code)","requestId":"1",
    "retryable":false}
    """
  }

  @Test func `it has nothing to say where all is well`() throws {
    #expect(try faults("GET", "/version", #"{"name":"martlet","version":"1"}"#) == [])
    #expect(try faults("GET", "/tasks?limit=5&metadata.a=b&status=DEAD,READY", #"{"data":[],"nextCursor":null}"#) == [])
    let headers = ["content-type": "application/problem+json"]
    #expect(try faults("GET", "/tasks/\(id)", status: 404, problem("not-found", 404), headers: headers) == [])
    #expect(try faults("GET", "/nothing", status: 404, problem("not-found", 404), headers: headers) == [])
  }

  @Test(arguments: [
    #"{"name":"martlet"}"#, #"{"name":"martlet","version":1}"#, #"{"name":"other","version":"1"}"#,
    #"{"name":"martlet","version":"1","more":true}"#, "[]", "", #"{"name":"martlet","version":null}"#,
  ])
  func `it finds an answer of another form`(answer: String) throws {
    #expect(try faults("GET", "/version", answer) != [])
  }

  @Test func `it finds answers, headers, codes and routes that are not in the document`() throws {
    let version = #"{"name":"martlet","version":"1"}"#
    #expect(try faults("GET", "/version", status: 202, version) != [])
    #expect(try faults("GET", "/version", version, headers: ["content-type": "text/plain"]) != [])
    #expect(
      try faults("GET", "/version", version, headers: ["content-type": "application/json", "x-other": "1"]) != [])
    #expect(try faults("GET", "/nothing", version) != [])
    #expect(try faults("POST", "/tasks", body: "{}", status: 200, "{}") != [], "without Location")
    let headers = ["content-type": "application/problem+json"]
    #expect(try faults("GET", "/version", status: 404, problem("not-found", 404), headers: headers) != [])
    #expect(try faults("GET", "/tasks/\(id)", status: 404, problem("forbidden", 404), headers: headers) != [])
    #expect(try faults("GET", "/tasks/\(id)", status: 404, problem("made-up", 404), headers: headers) != [])
  }

  @Test(arguments: ["limit=0", "limit=1001", "limit=x", "status=ASLEEP", "more=1", "createdAfter=now", "type=a%20b"])
  func `it finds parameters that were accepted against the document`(query: String) throws {
    #expect(try faults("GET", "/tasks?\(query)", #"{"data":[],"nextCursor":null}"#) != [])
  }

  @Test(arguments: [
    "{}", "[]", #"{"type":""}"#, #"{"type":"a","more":1}"#, #"{"type":"a","priority":0}"#,
    #"{"type":"a","priority":1.5}"#, #"{"type":"a","tags":["\u0000"]}"#, #"{"type":"a","tags":[""]}"#,
    #"{"type":"a","metadata":{"":"b"}}"#, #"{"type":"a","runAt":"now"}"#, #"{"type":"a","dependencies":["b","b"]}"#,
    #"{"type":"a","onDependencyFailure":"WAIT"}"#, #"{"type":"a","backoff":{"factor":0}}"#,
  ])
  func `it finds bodies that were accepted against the document`(body: String) throws {
    let found = try faults("POST", "/tasks", body: body, status: 201, "null")
    #expect(found.contains { $0.hasPrefix("it was accepted") }, "\(found)")
  }
}
