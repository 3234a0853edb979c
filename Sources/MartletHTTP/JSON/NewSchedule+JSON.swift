// From the bytes of a schedule to a `NewSchedule`: kinds and names are judged here, values by `ScheduleService`. Called by
// `POST /schedules` and `PUT /schedules/{name}`.

internal import MartletCore

extension NewSchedule {
  /// - Parameters:
  ///   - name: the one in the path, which the body may repeat; nil where only the body has it.
  ///   - problems: what is wrong with the text; what could be read of it is in the schedule all the same.
  /// - Throws: the text is no JSON (400).
  init(json bytes: [UInt8], name: String?, problems: inout Problems) throws(Problem) {
    let root: JSONSlice
    do throws(JSONError) { root = try JSONScanner.scan(bytes) } catch { throw Problem(error) }
    let names = ["name", "cron", "everySeconds", "timeZone", "task", "misfire", "overlap", "paused"]
    let fields = JSONFields(root, at: "", known: names, problems: &problems)
    var task = NewTask(type: "")
    if fields.has("task"), let json = fields.raw("task") {
      // As in a batch: a `ref` is known, and refused with its reason.
      task = NewTask(json, at: "/task", isInBatch: true, problems: &problems)
    } else if root.kind == .object {
      problems.add("/task", "is required: what each of the tasks is to be")
    }
    let own = fields.string("name", &problems)
    if let own, let name, own != name { problems.add("/name", "differs from the name in the path, '\(name)'") }
    if own == nil, name == nil, root.kind == .object, !fields.has("name") { problems.add("/name", "is required") }
    self.init(name: name ?? own ?? "", task: task)
    cron = fields.string("cron", &problems)
    everySeconds = fields.double("everySeconds", &problems)
    timeZone = fields.string("timeZone", &problems)
    misfire = fields.choice("misfire", &problems)
    overlap = fields.choice("overlap", &problems)
    paused = fields.bool("paused", &problems) ?? false
  }
}
