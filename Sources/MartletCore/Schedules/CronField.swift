// The five fields of a cron expression: what they are called, which values they take, and the words for these. `CronParser`
// reads by them and tells problems in them.

/// A field of a cron expression, in the order in which they stand (crontab(5)).
enum CronField: Int, CaseIterable, Sendable {
  case minute, hour, dayOfMonth, month, dayOfWeek

  var title: String {
    switch self {
    case .minute: "minute"
    case .hour: "hour"
    case .dayOfMonth: "day of the month"
    case .month: "month"
    case .dayOfWeek: "day of the week"
    }
  }

  /// What may be written. Sunday is both 0 and 7.
  var limits: ClosedRange<Int> {
    switch self {
    case .minute: 0...59
    case .hour: 0...23
    case .dayOfMonth: 1...31
    case .month: 1...12
    case .dayOfWeek: 0...7
    }
  }

  /// What `*` stands for.
  var everything: ClosedRange<Int> {
    self == .dayOfWeek ? 0...6 : limits
  }

  /// In order of their values, beginning at the first of `limits`.
  var words: [StaticString] {
    switch self {
    case .minute, .hour, .dayOfMonth: []
    case .month: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
    case .dayOfWeek: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
    }
  }

  /// `?` is how Quartz and what came after it write `*` where the other day field decides.
  var takesQuestionMark: Bool {
    self == .dayOfMonth || self == .dayOfWeek
  }
}

/// One entry of a field's list, as it was written but with numbers for words.
struct CronEntry: Sendable, Hashable {
  var form: Form
  /// The distance between the values taken, counted from the first; nil where none was written.
  var step: Int?

  enum Form: Sendable, Hashable {
    /// `*`
    case all
    /// `5`; with a step, from 5 to the field's end
    case from(Int)
    /// `5-10`
    case range(Int, Int)
  }

  /// The values as bits. A Sunday written as 7 is bit 0.
  func bits(in field: CronField) -> UInt64 {
    let values: ClosedRange<Int> =
      switch form {
      case .all: field.everything
      case .from(let value): step == nil ? value...value : value...max(value, field.everything.upperBound)
      case .range(let first, let last): first...last
      }
    var bits: UInt64 = 0
    for value in stride(from: values.lowerBound, through: values.upperBound, by: step ?? 1) {
      bits |= 1 << UInt64(field == .dayOfWeek ? value % 7 : value)
    }
    return bits
  }

  var text: String {
    let values =
      switch form {
      case .all: "*"
      case .from(let value): String(value)
      case .range(let first, let last): "\(first)-\(last)"
      }
    return step.map { "\(values)/\($0)" } ?? values
  }
}

/// A field as it was read.
struct CronList: Sendable, Hashable {
  let bits: UInt64
  /// Begins with `*` (or is `?`), which is how the day fields are told to leave things to each other.
  let beginsWithStar: Bool
  /// Sorted, each entry once, words as numbers.
  let text: String

  init(_ entries: [CronEntry], in field: CronField) {
    bits = entries.reduce(0) { $0 | $1.bits(in: field) }
    let starsFirst = entries.first?.form == .all
    beginsWithStar = starsFirst
    text = Set(entries).sorted { $0.order(starsFirst) < $1.order(starsFirst) }.map(\.text).joined(separator: ",")
  }
}

extension CronEntry {
  /// Different for different entries.
  fileprivate func order(_ starsFirst: Bool) -> (Int, Int, Int) {
    switch form {
    case .all: (starsFirst ? .min : .max, -1, step ?? 0)
    case .from(let value): (value, -1, step ?? 0)
    case .range(let first, let last): (first, last, step ?? 0)
    }
  }
}
