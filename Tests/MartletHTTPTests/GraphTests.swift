// What one answer tells of a graph, and of which it tells nothing.

internal import MartletCore
internal import MartletTestKit
internal import Testing

@testable internal import MartletHTTP

@Suite struct GraphTests {
  private static func graph(edges: Int) -> TaskGraph {
    TaskGraph(
      id: .stub(1), members: [.init(id: .stub(2), ref: nil, type: "a", status: .ready)],
      edges: (0..<edges).map { .init(from: .stub(3 + $0), to: .stub(2)) })
  }

  @Test func `a graph that is too large for one answer is refused, and says how to see its tasks`() throws {
    let answer = try API.answer(Self.graph(edges: API.mostOfGraph - 1))
    #expect(answer.status == 200)
    #expect(try JSONScanner.scan(answer.body)["edges"]?.elements?.count == API.mostOfGraph - 1)
    do throws(Problem) {
      _ = try API.answer(Self.graph(edges: API.mostOfGraph))
      Issue.record("was told")
    } catch {
      #expect(error.code == .invalid)
      #expect(error.detail.contains("GET /tasks?graphId=\(TaskID.stub(1))"))
    }
  }
}
