// A graph as clients see it. Called by `GET /graphs/{graphId}`.

internal import MartletCore

extension TaskGraph {
  func writeFields(to json: inout JSONWriter) {
    json.field("id", id)
    json.name("tasks")
    json.array(of: members) { json, member in
      json.object { json in
        json.field("id", member.id)
        json.field("ref", member.ref)
        json.field("type", member.type)
        json.field("status", member.status.rawValue)
      }
    }
    json.name("edges")
    json.array(of: edges) { json, edge in
      json.array { json in
        json.string(edge.from.description)
        json.string(edge.to.description)
      }
    }
  }
}
