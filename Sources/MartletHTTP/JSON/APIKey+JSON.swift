// API keys as clients see them: how they ask for one, and what they are told. Called by the routes of `/api-keys`, and by
// `martlet keys --database`, which shows the same.

package import MartletCore

extension NewAPIKey {
  /// - Throws: the text is no JSON (400), or fields are unknown, of the wrong kind or missing (422).
  init(json bytes: [UInt8]) throws(Problem) {
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(bytes) } catch { throw Problem(error) }
    var problems = Problems()
    let names = ["name", "roles", "queues", "expiresAt"]
    let fields = JSONFields(root, at: "", known: names, problems: &problems)
    self.init(
      name: fields.string("name", &problems) ?? "", roles: fields.strings("roles", &problems) ?? [],
      queues: fields.strings("queues", &problems), expiresAt: fields.timestamp("expiresAt", &problems))
    if root.members != nil {
      for name in ["name", "roles"] where !fields.has(name) { problems.add(fields.place(name), "is missing") }
    }
    guard problems.all.isEmpty else { throw .invalid(problems.all) }
  }
}

extension StoredAPIKey {
  /// - Parameter text: the key itself, told once.
  package func writeFields(to json: inout JSONWriter, text: String? = nil) {
    json.field("id", id)
    if let text { json.field("key", text) }
    json.field("name", name)
    json.field("roles", roles)
    if let queues { json.field("queues", queues) } else { json.field("queues", String?.none) }
    json.field("expiresAt", expiresAt)
    json.field("createdAt", createdAt)
    json.field("lastUsedAt", lastUsedAt)
  }
}
