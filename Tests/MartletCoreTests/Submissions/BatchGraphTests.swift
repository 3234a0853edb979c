internal import Testing

@testable internal import MartletCore

@Suite("Dependencies inside a batch")
struct BatchGraphTests {
  private typealias Node = BatchGraph.Node

  private func graph(_ nodes: [Node]) -> (BatchGraph?, [ValidationProblem]) {
    var problems = Problems()
    let graph = BatchGraph(nodes, at: { "/tasks/\($0)" }, problems: &problems)
    return (graph, problems.all)
  }

  private func edges(_ count: Int, _ edges: [(Int, Int)]) -> BatchGraph? {
    graph(
      (0..<count).map { index in
        Node(ref: "t\(index)", dependencies: edges.filter { $0.0 == index }.map { "t\($0.1)" })
      }
    ).0
  }

  @Test func `a task waits for those that it names by ref, before or after it`() {
    let (graph, problems) = graph([
      Node(ref: "a", dependencies: ["c"]), Node(ref: nil, dependencies: ["a", "c"]), Node(ref: "c", dependencies: []),
    ])
    #expect(problems.isEmpty)
    #expect(graph?.parents == [[.own(2)], [.own(0), .own(2)], []])
    #expect(graph?.hasEdges == true)
  }

  @Test func `what is no ref and looks like an id is a stored task`() throws {
    let id = "019c0000-0000-7000-8000-000000000001"
    let (graph, problems) = graph([Node(ref: nil, dependencies: [id])])
    #expect(problems.isEmpty)
    #expect(graph?.parents == [[.stored(try #require(TaskID(id)))]])
  }

  @Test func `every mistake is told with its place`() {
    let (graph, problems) = graph([
      Node(ref: "a", dependencies: ["b", "b"]), Node(ref: "a", dependencies: ["nobody"]),
      Node(ref: "b c", dependencies: []), Node(ref: "019c0000-0000-7000-8000-000000000001", dependencies: []),
      Node(ref: "b", dependencies: []),
    ])
    #expect(graph == nil)
    #expect(
      problems.map(\.pointer) == [
        "/tasks/1/ref", "/tasks/2/ref", "/tasks/3/ref", "/tasks/0/dependencies/1", "/tasks/1/dependencies/0",
      ])
  }

  @Test func `more dependencies than the limit are refused`() {
    let names = (0...BatchGraph.mostDependencies).map { "n\($0)" }
    let nodes = names.map { Node(ref: $0, dependencies: []) } + [Node(ref: nil, dependencies: names)]
    #expect(graph(nodes).1.map(\.pointer) == ["/tasks/\(names.count)/dependencies"])
  }

  @Test func `a ring is found and told in its order`() throws {
    let ring = try #require(edges(5, [(0, 1), (1, 2), (2, 3), (3, 1), (4, 0)])?.cycle)
    #expect(ring.count == 3 && Set(ring) == [1, 2, 3])
    for (task, next) in zip(ring, ring.dropFirst() + ring.prefix(1)) { #expect([1: 2, 2: 3, 3: 1][task] == next) }
  }

  @Test func `a task that waits for itself is a ring of one`() {
    #expect(edges(2, [(1, 1)])?.cycle == [1])
  }

  @Test func `diamonds and chains are no rings`() {
    #expect(edges(4, [(1, 0), (2, 0), (3, 1), (3, 2)])?.cycle == nil)
    let long = (0..<1000).map { Node(ref: "t\($0)", dependencies: $0 == 0 ? [] : ["t\($0 - 1)"]) }
    #expect(graph(long.reversed()).0?.cycle == nil)
  }

  @Test(arguments: 0..<300)
  func `a ring is found exactly where the tasks cannot be put in order`(seed: UInt64) throws {
    var random = SplitMix64(state: seed)
    let count = Int.random(in: 1...8, using: &random)
    let drawn = (0..<Int.random(in: 0...12, using: &random)).map { _ in
      (Int.random(in: 0..<count, using: &random), Int.random(in: 0..<count, using: &random))
    }
    let distinct = Set(drawn.map { [$0.0, $0.1] }).map { ($0[0], $0[1]) }
    let graph = try #require(edges(count, distinct))
    // Take away again and again what waits for nobody: a ring is what stays.
    var left = Set(0..<count)
    while let free = left.first(where: { task in left.allSatisfy { !graph.parents[task].contains(.own($0)) } }) {
      left.remove(free)
    }
    #expect((graph.cycle == nil) == left.isEmpty)
    if let ring = graph.cycle {
      for (task, next) in zip(ring, ring.dropFirst() + ring.prefix(1)) {
        #expect(graph.parents[task].contains(.own(next)))
      }
    }
  }
}
