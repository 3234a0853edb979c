// Whoever may submit tasks may name a URL, and whoever owns a name may change its mind between two looks at it (DNS rebinding). In a
// network of its own, with a name server, public receivers and traps on everything private, the server is made to call by names and
// spellings of all kinds: no trap may see a connection.

internal import Foundation
internal import MartletCore
internal import Testing

extension EndToEnd {
  @Suite("Rebinding", .timeLimit(.minutes(20)))
  struct RebindingTests {
    private static let script = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Hostile/rebinding.py")

    @Test func `no call and no notice reaches a private address, by whatever name or spelling`() async throws {
      try await Scene.play { scene in
        let (ending, program) = try await scene.run(
          Tool.installed("unshare"),
          [
            "--net", "--mount-proc", "--pid", "--fork", "--kill-child", Tool.installed("python3").path,
            Self.script.path,
            Tool.built("martlet").path, scene.folder.path,
          ], within: .seconds(900))
        #expect(ending == .exited(0), "\(program.errors) (it must be root)")
        let lines = try program.output.split(separator: "\n").map { try JSONScanner.scan(Array($0.utf8)) }
        let tries = lines.filter { $0["way"] != nil }.map(Try.init)
        for way in ["webhook", "notice"] {
          for kind in ["rebinding", "both", "within", "redirect", "literal"] {
            let some = tries.filter { $0.way == way && $0.kind == kind }
            #expect(some.count >= 3, "\(kind) by \(way) was not tried")
            for each in some { judge(each) }
          }
        }
        // The traps were there all the time, and count: of each, the one connection by which that was tried in the end.
        let traps = try #require(lines.last?["private"]?.members)
        #expect(traps.count == 8 && traps.allSatisfy { $0.value.int == 1 }, "\(program.output.suffix(300))")
      }
    }

    /// What was tried, and what came of it.
    private struct Try: CustomStringConvertible {
      let json: JSONSlice
      var kind: String { json["kind"]?.string ?? "" }
      var way: String { json["way"]?.string ?? "" }
      var status: String? { json["said"]?["status"]?.string }
      /// It was not accepted at all.
      var isRefused: Bool { json["said"]?["refused"]?.int == 422 }
      /// Of each attempt: the type of an attempt's error, or the words of a notice's.
      var errors: [String] { json["said"]?["errors"]?.elements?.compactMap(\.string) ?? [] }
      var messages: [String] { json["said"]?["messages"]?.elements?.compactMap(\.string) ?? [] }
      /// Connections to the public receivers.
      var publicly: Int { json["public"]?.int ?? 0 }
      var privately: [String] { json["private"]?.members?.map(\.name) ?? [] }
      /// What the name server answered, one after the other, without what it had no answer to.
      var told: [[String]] {
        (json["told"]?.elements ?? []).map { $0["addresses"]?.elements?.compactMap(\.string) ?? [] }.filter {
          !$0.isEmpty
        }
      }
      var paths: [String] { json["paths"]?.elements?.compactMap(\.string) ?? [] }
      var description: String { String(decoding: json.bytes, as: UTF8.self) }

      func says(_ word: String, at index: Int) -> Bool {
        errors.indices.contains(index) && (errors[index].contains(word) || messages[index].contains(word))
      }
      /// The last attempt was refused for where it led, and none came after it.
      var endsRefused: Bool { status == "DEAD" && says("network.allowPrivateTargets", at: errors.count - 1) }
    }

    private func judge(_ each: Try) {
      #expect(each.privately.isEmpty, "\(each)")
      switch each.kind {
      case "rebinding":
        // Called while it was public, asked for again, told to be private, and refused.
        #expect(each.publicly == 1 && each.errors.count == 2 && each.says("503", at: 0), "\(each)")
        #expect(each.endsRefused, "\(each)")
        #expect(each.told.count >= 2 && each.told.first != each.told.last, "\(each)")
      case "both":
        // One address takes no connections; the other, in the same answer, is not tried instead.
        #expect(each.errors.count == 2 && !each.says("allowPrivateTargets", at: 0) && each.endsRefused, "\(each)")
        #expect(each.told.first?.count == 2 && each.told.last?.count == 1, "\(each)")
      case "within":
        // Whatever happens in the course of one call, the name is looked up once for it.
        if each.paths.first == "/hang-up" {
          #expect(each.publicly == 1 && each.endsRefused && each.told.count == 2, "\(each)")
        } else {
          #expect(each.status == (each.way == "webhook" ? "SUCCESS" : "DELIVERED") && each.told.count == 1, "\(each)")
          #expect(each.publicly == (each.paths.first == "/same" ? 2 : 1), "\(each)")
        }
      case "redirect":
        #expect(each.publicly >= 1 && each.says("redirects to another host are not followed", at: 0), "\(each)")
      default:
        // Refused when it is submitted or when it is called; or no name at all.
        let isNoName = each.says("cannot be resolved", at: 0)
        #expect(each.isRefused || isNoName || each.errors.count == 1 && each.endsRefused, "\(each)")
        // Notices that were told before to come later may do so meanwhile: they ask for other paths.
        #expect(!each.paths.contains("/"), "\(each)")
      }
    }
  }
}
