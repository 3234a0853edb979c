// `/settings`: what is set for all nodes, over HTTP. What the settings are is the composition root's business; here there are a few.

internal import MartletCore
internal import MartletEngine
internal import MartletTestKit
internal import Synchronization
internal import Testing

/// A node with a few settings: numbers from 0 to 100, of which `b.two` goes with `b.one` alone.
final class PanelStub: SettingsPanel {
  private static let keys = ["a", "b.one", "b.two", "log.level", "tasks.maxRetries"]
  private let taken = Mutex<SettingsRevision?>(nil)

  var state: SettingsState {
    let revision = taken.withLock(\.self)
    return SettingsState(
      revision: revision?.number ?? 0,
      settings: Self.keys.map { key in
        let override = revision?.overrides[key].map { Array($0.utf8) }
        return SettingsState.Row(
          key: key, value: override ?? Array("7".utf8), override: override, next: nil,
          source: override == nil ? "default" : "fleet", needsRestart: false, isOverridable: true)
      }, waiting: [], problems: [])
  }

  func problems(with overrides: [String: String], changed: Set<String>) -> [SettingFault] {
    var faults = changed.sorted().compactMap { key -> SettingFault? in
      guard Self.keys.contains(key) else { return SettingFault(key: key, detail: "is not a known setting") }
      let isRight = overrides[key].flatMap { Int($0) }.map { (0...100).contains($0) } ?? false
      return isRight ? nil : SettingFault(key: key, detail: "must be a whole number from 0 to 100")
    }
    if overrides["b.two"] != nil, overrides["b.one"] == nil {
      faults.append(SettingFault(key: "b.one", detail: "is missing: b.two needs it"))
    }
    return faults
  }

  func take(_ revision: SettingsRevision) {
    taken.withLock { known in if revision.number > known?.number ?? 0 { known = revision } }
  }
}

@Suite struct SettingsTests {
  @Test func `what is set counts at once, is told by whom, and can be taken back`() async throws {
    try await HTTPHarness.run { harness in
      let before = try await harness.get("/settings")
      #expect(before.status == 200)
      #expect(try before.object["revision"] as? Int == 0)
      #expect(before.text.contains(#"{"key":"a","value":7,"source":"default","override":null"#))

      let set = try await harness.patch("/settings", #"{"a": 5, "b": {"one": 1, "two": 2}}"#)
      #expect(set.status == 200)
      #expect(set.text.contains(#"{"key":"a","value":5,"source":"fleet","override":5"#))
      #expect(try set.object["revision"] as? Int == 1)
      _ = try await harness.patch("/settings", #"{"b": {"two": null}}"#)

      let revisions = try await harness.get("/settings/revisions").data
      #expect(revisions.map { $0["revision"] as? Int } == [2, 1])
      #expect(revisions.map { $0["actor"] as? String } == ["api", "api"])
      let text = try await harness.get("/settings/revisions").text
      #expect(text.contains(#""changes":{"b.two":null},"overrides":{"a":5,"b.one":1}"#))

      let back = try await harness.post("/settings/revert", "{}")
      #expect(try back.object["revision"] as? Int == 3 && back.text.contains(#""override":2"#))
      let none = try await harness.post("/settings/revert", #"{"revision": 0}"#)
      #expect(none.status == 200 && !none.text.contains("fleet"))
      let audit = try await harness.get("/audit").data
      #expect(audit.map { $0["target"] as? String } == ["revision-4", "revision-3", "revision-2", "revision-1"])
    }
  }

  @Test func `what changes nothing makes no revision`() async throws {
    try await HTTPHarness.run { harness in
      for _ in 1...3 {
        let reply = try await harness.patch("/settings", #"{"a": 5, "b.one": null}"#)
        #expect(reply.status == 200)
      }
      #expect(try await harness.get("/settings/revisions").data.count == 1)
      #expect(try await harness.post("/settings/revert", #"{"revision": 1}"#).status == 200)
      #expect(try await harness.get("/settings/revisions").data.count == 1)
    }
  }

  @Test func `every fault of a change is told at once, by its place, and nothing is changed`() async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.patch("/settings", #"{"a": 500, "b": {"two": 2, "three": 3}, "x/y": 1}"#)
      try reply.expectProblem(422, "invalid")
      let errors = try reply.object["errors"] as? [[String: String]] ?? []
      #expect(errors.map { $0["pointer"] ?? "" } == ["/b/three", "/x~1y", "/a", ""])
      #expect(errors.last?["detail"] == "b.one is missing: b.two needs it")
      #expect(try await harness.get("/settings").object["revision"] as? Int == 0)
      #expect(try await harness.get("/settings/revisions").data.isEmpty)
    }
  }

  @Test(arguments: [
    (#"{}"#, ""), (#"[]"#, ""), (#"{"b": {}}"#, ""), (#"{"typo": null}"#, "/typo"),
    (#"{"b.one": 1, "b": {"one": 2}}"#, "/b/one"),
  ])
  func `what names no setting, or one twice, is refused`(body: String, pointer: String) async throws {
    try await HTTPHarness.run { harness in
      let reply = try await harness.patch("/settings", body)
      try reply.expectProblem(422, "invalid")
      #expect((try reply.object["errors"] as? [[String: String]])?.first?["pointer"] == pointer)
    }
  }

  @Test func `a revision that is not there cannot be brought back`() async throws {
    try await HTTPHarness.run { harness in
      try await harness.post("/settings/revert", "{}").expectProblem(404, "not-found")
      try await harness.post("/settings/revert", #"{"revision": 9}"#).expectProblem(404, "not-found")
      try await harness.post("/settings/revert", #"{"revision": -1}"#).expectProblem(422, "invalid")
    }
  }

  @Test func `revisions are listed page by page`() async throws {
    try await HTTPHarness.run { harness in
      for number in 1...7 { _ = try await harness.patch("/settings", #"{"a": \#(number)}"#) }
      var found: [Int] = []
      var cursor = ""
      repeat {
        let page = try await harness.get("/settings/revisions?limit=3\(cursor)")
        found += try page.data.compactMap { $0["revision"] as? Int }
        cursor = try (page.object["nextCursor"] as? String).map { "&cursor=\($0)" } ?? ""
      } while !cursor.isEmpty
      #expect(found == [7, 6, 5, 4, 3, 2, 1])
      for wrong in ["limit=0", "cursor=x", "cursor=r0", "cursor=r01"] {
        try await harness.get("/settings/revisions?\(wrong)").expectProblem(422, "invalid")
      }
    }
  }

  @Test func `of many changes at once none is lost`() async throws {
    try await HTTPHarness.run { harness in
      try await withThrowingTaskGroup(of: Int.self) { group in
        for key in ["a", "b.one"] {
          for number in 0..<5 {
            group.addTask { try await harness.patch("/settings", #"{"\#(key)": \#(number)}"#).status }
          }
        }
        for try await status in group { #expect(status == 200) }
      }
      let latest = try await harness.store.settingsRevision(after: 0)
      #expect(latest.map { Set($0.overrides.keys) } == ["a", "b.one"])
    }
  }
}
