// From the bytes of `PATCH /tasks/{id}` to a `TaskPatch`; and the check of bodies that carry nothing.

internal import MartletCore

extension TaskPatch {
  /// - Throws: the text is no JSON (400), or fields are unknown, of the wrong kind or none at all (422).
  init(json bytes: [UInt8]) throws(Problem) {
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(bytes) } catch { throw Problem(error) }
    var problems = Problems()
    let names = ["priority", "availableAt", "tags", "metadata"]
    let fields = JSONFields(root, at: "", known: names, problems: &problems)
    self.init(
      priority: fields.int("priority", &problems),
      available: fields.timestamp("availableAt", &problems).map { .at($0) },
      tags: fields.strings("tags", &problems),
      metadata: fields.stringMap("metadata", &problems))
    for problem in self.problems { problems.add(problem.pointer, problem.detail) }
    if problems.all.isEmpty, self.fields.isEmpty {
      problems.add("", "must have at least one of \(names.joined(separator: ", "))")
    }
    guard problems.all.isEmpty else { throw .invalid(problems.all) }
  }
}

enum EmptyBody {
  /// Nothing, or `{}` with any white space: too little to ask for a Content-Type.
  static func isTrivial(_ bytes: [UInt8]) -> Bool {
    bytes.isEmpty || bytes.lazy.filter { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }.elementsEqual("{}".utf8)
  }

  /// Accepts nothing, or an object without fields.
  static func check(_ bytes: [UInt8]) throws(Problem) {
    guard !bytes.isEmpty else { return }
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(bytes) } catch { throw Problem(error) }
    var problems = Problems()
    guard let members = root.members(atMost: JSONFields.most.names) else {
      throw .invalid([ValidationProblem(pointer: "", detail: "must be an object")])
    }
    for (name, _) in members {
      problems.add("/" + JSONPointer.escaped(name), "is not a known field; this call takes none")
    }
    guard problems.all.isEmpty else { throw .invalid(problems.all) }
  }
}
