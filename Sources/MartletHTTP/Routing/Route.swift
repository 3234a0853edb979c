// One line of the route table, and the search for it. Router, 405 answers and metrics all take their facts from here.

internal import HTTPTypes

/// A method on a path, and what is to be known of it before any work is done.
struct Route: Sendable {
  typealias Handler = @Sendable (API) -> (Call) async throws(Problem) -> Answer

  enum Body: Sendable {
    /// Not read.
    case none
    /// Nothing, or an object; needs no Content-Type while it is empty or `{}`.
    case optional
    /// JSON with its Content-Type.
    case required
  }

  let method: HTTPRequest.Method
  /// `{…}` stands for one segment. Also the route's name in metrics.
  let path: String
  /// What is asked of whoever calls it, where there is authentication.
  let right: Right
  let query: Parameters.Known
  let body: Body
  let handle: Handler

  /// Others would do again what the client believes to be done once.
  var takesIdempotencyKey: Bool { right == .submit }

  init(
    _ method: HTTPRequest.Method, _ path: String, _ right: Right, query: Parameters.Known = .none, body: Body = .none,
    _ handle: @escaping Handler
  ) {
    self.method = method
    self.path = path
    self.right = right
    self.query = query
    self.body = body
    self.handle = handle
  }
}

/// The routes as a tree by segment.
struct RouteTree: Sendable {
  private var root = Node()

  private struct Node: Sendable {
    var literals: [String: Node] = [:]
    var parameter: [Node] = []
    var place: Place?
  }

  /// All that is to be had at one path.
  struct Place: Sendable {
    let path: String
    fileprivate(set) var routes: [Route] = []

    /// HEAD is GET without the body.
    func route(_ method: HTTPRequest.Method) -> Route? {
      let wanted = method == .head ? .get : method
      return routes.first { $0.method == wanted }
    }

    /// The value of `Allow`.
    var allowed: String {
      routes.flatMap { $0.method == .get ? ["GET", "HEAD"] : [$0.method.rawValue] }.joined(separator: ", ")
    }
  }

  init(_ routes: [Route]) {
    for route in routes {
      let segments = route.path == "/" ? [] : route.path.dropFirst().split(separator: "/").map(String.init)
      Self.add(route, at: segments[...], to: &root)
    }
  }

  /// What stands at a path, and the segment that its `{…}` stands for. A literal segment goes before a parameter.
  func find(_ segments: [String]) -> (place: Place, parameter: String)? {
    var node = root
    var parameter = ""
    for segment in segments {
      if let next = node.literals[segment] {
        node = next
      } else if let next = node.parameter.first, !segment.isEmpty {
        node = next
        parameter = segment
      } else {
        return nil
      }
    }
    return node.place.map { ($0, parameter) }
  }

  private static func add(_ route: Route, at segments: ArraySlice<String>, to node: inout Node) {
    guard let segment = segments.first else {
      var place = node.place ?? Place(path: route.path)
      precondition(
        place.routes.allSatisfy { $0.method != route.method }, "two routes for \(route.method) \(route.path)")
      place.routes.append(route)
      node.place = place
      return
    }
    if segment.hasPrefix("{") {
      if node.parameter.isEmpty { node.parameter.append(Node()) }
      add(route, at: segments.dropFirst(), to: &node.parameter[0])
    } else {
      add(route, at: segments.dropFirst(), to: &node.literals[segment, default: Node()])
    }
  }
}
