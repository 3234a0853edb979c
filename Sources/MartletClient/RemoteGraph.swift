// Tasks that were submitted to wait for each other, as a server shows them.

public import MartletCore

public struct RemoteGraph: Sendable, Hashable, Identifiable {
  public var id: TaskID
  public var tasks: [Member]
  public var edges: [Edge]
  /// The whole object as it came.
  public var json: [UInt8]

  public struct Member: Sendable, Hashable, Identifiable {
    public var id: TaskID
    /// As its submission called it.
    public var ref: String?
    public var type: String
    public var status: TaskStatus
  }

  /// `to` waits for `from`.
  public struct Edge: Sendable, Hashable {
    public var from: TaskID
    public var to: TaskID
  }

  init(_ answer: Answer) throws(MartletClientError) {
    let reader = try Reading.object(answer)
    id = try reader.required("id", reader.id("id"))
    json = answer.json
    tasks = try reader.objects("tasks") { (member) throws(MartletClientError) in
      guard let status = try member.text("status").flatMap(TaskStatus.init(rawValue:)) else {
        throw member.unexpected("'status' is not known")
      }
      return Member(
        id: try member.required("id", member.id("id")), ref: try member.text("ref"),
        type: try member.required("type", member.text("type")), status: status)
    }
    edges = []
    for pair in reader.slice.members?.first(where: { $0.name == "edges" })?.value.elements ?? [] {
      let ids = pair.elements?.compactMap { $0.string.flatMap(TaskID.init) } ?? []
      guard ids.count == 2 else { throw reader.unexpected("'edges' are not pairs of ids") }
      edges.append(Edge(from: ids[0], to: ids[1]))
    }
  }
}
