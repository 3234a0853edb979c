// What a cron expression may look like, what it then means, and the one sentence for everything that it is not.

import MartletCore
import Testing

/// The next few ticks in UTC from the beginning of 2026 (a Thursday) on.
private func first(_ count: Int, _ expression: String) throws -> [String] {
  try cron(expression).next(count, after: time("2025-12-31T23:59:00Z")).map { String(short($0).dropLast()) }
}

@Suite struct CronExpressionTests {
  @Test func `five fields say minute, hour, day of the month, month and day of the week`() throws {
    #expect(try first(2, "30 4 * * *") == ["2026-01-01T04:30", "2026-01-02T04:30"])
    #expect(try first(2, "5 0 15 3 *") == ["2026-03-15T00:05", "2027-03-15T00:05"])
    #expect(try first(2, "0 12 * * 1") == ["2026-01-05T12:00", "2026-01-12T12:00"])
    #expect(try first(3, "59 23 31 * *") == ["2026-01-31T23:59", "2026-03-31T23:59", "2026-05-31T23:59"])
  }

  @Test func `a list takes each of its values, a range all between its ends`() throws {
    #expect(try first(4, "0,30 9,17 * * *").map { $0.suffix(5) } == ["09:00", "09:30", "17:00", "17:30"])
    #expect(try first(3, "58-59 23 * * *").map { $0.suffix(8) } == ["01T23:58", "01T23:59", "02T23:58"])
    #expect(
      try first(5, "0 0 1-3,10 2 *").map { $0.prefix(10).suffix(5) } == ["02-01", "02-02", "02-03", "02-10", "02-01"])
  }

  @Test func `a step counts from the first value: of all, of a range, or from a number on`() throws {
    #expect(try first(4, "*/20 0 * * *").map { $0.suffix(5) } == ["00:00", "00:20", "00:40", "00:00"])
    #expect(
      try first(6, "10-50/10 0 * * *").map { $0.suffix(5) } == ["00:10", "00:20", "00:30", "00:40", "00:50", "00:10"])
    #expect(try first(5, "5/15 0 * * *").map { $0.suffix(5) } == ["00:05", "00:20", "00:35", "00:50", "00:05"])
    #expect(try first(3, "0 0 */15 1 *").map { $0.prefix(10).suffix(5) } == ["01-01", "01-16", "01-31"])
    #expect(try first(3, "0 0 1 2/5 *").map { $0.prefix(7).suffix(2) } == ["02", "07", "12"])
  }

  @Test func `months and days of the week have names in any case, also in lists, ranges and steps`() throws {
    #expect(try CronExpression("0 0 * jan,Jun-AUG,dec *").description == "0 0 * 1,6-8,12 *")
    #expect(try CronExpression("0 0 * * Mon-fRi/2,SUN").description == "0 0 * * 0,1-5/2")
    let months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
    for (index, name) in months.enumerated() {
      #expect(try CronExpression("0 0 1 \(name) *") == CronExpression("0 0 1 \(index + 1) *"))
    }
    for (index, name) in ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"].enumerated() {
      #expect(try CronExpression("0 0 * * \(name)") == CronExpression("0 0 * * \(index)"))
    }
  }

  @Test func `0 and 7 are both Sunday, which ends a week as well as it begins one`() throws {
    let sundays = ["2026-01-04T00:00", "2026-01-11T00:00"]
    #expect(try first(2, "0 0 * * 0") == sundays)
    #expect(try first(2, "0 0 * * 7") == sundays)
    #expect(try first(4, "0 0 * * FRI-SUN").map { $0.prefix(10).suffix(2) } == ["02", "03", "04", "09"])
    #expect(try first(4, "0 0 * * 5-0").map { $0.prefix(10).suffix(2) } == ["02", "03", "04", "09"])
    #expect(try first(4, "0 0 * * 7-2").map { $0.prefix(10).suffix(2) } == ["04", "05", "06", "11"])
    #expect(
      try first(8, "0 0 * * 0-7").map { $0.prefix(10).suffix(2) } == ["01", "02", "03", "04", "05", "06", "07", "08"])
    #expect(try first(4, "0 0 * * SUN/2").map { $0.prefix(10).suffix(2) } == ["01", "03", "04", "06"])
  }

  @Test func `where both day fields are restricted, either is enough; where one begins with a star, both must agree`()
    throws
  {
    // crontab(5): "30 4 1,15 * 5" runs on the 1st and 15th, and on every Friday.
    #expect(
      try first(6, "30 4 1,15 * 5").map { $0.prefix(10).suffix(2) } == ["01", "02", "09", "15", "16", "23"])
    #expect(try first(3, "0 0 13 * *").map { $0.prefix(10).suffix(5) } == ["01-13", "02-13", "03-13"])
    // The first Monday of each month.
    #expect(try first(3, "0 0 */31,1-7 * MON").map { $0.prefix(10).suffix(5) } == ["01-05", "02-02", "03-02"])
    // What Vixie's cron looks at is how a field begins.
    #expect(try first(3, "0 0 1-7,*/31 * MON").map { $0.prefix(10).suffix(5) } == ["01-01", "01-02", "01-03"])
    // The even ones among the Sundays.
    #expect(try first(3, "0 0 2/2 * */7").map { $0.prefix(10).suffix(5) } == ["01-04", "01-18", "02-08"])
  }

  @Test func `a question mark in a day field is a star`() throws {
    #expect(try CronExpression("0 12 ? * MON") == CronExpression("0 12 * * MON"))
    #expect(try CronExpression("0 12 1 * ?") == CronExpression("0 12 1 * *"))
  }

  @Test(arguments: [
    ("@yearly", "0 0 1 1 *"), ("@annually", "0 0 1 1 *"), ("@monthly", "0 0 1 * *"), ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"), ("@midnight", "0 0 * * *"), ("@hourly", "0 * * * *"), ("@DAILY", "0 0 * * *"),
  ])
  func `macros stand for expressions`(macro: String, meaning: String) throws {
    let expression = try CronExpression(macro)
    #expect(expression.description == meaning)
    #expect(expression.source == macro)
    #expect(expression == (try CronExpression(meaning)))
  }

  @Test(arguments: [
    ("  0\t0   *  *\t * ", "0 0 * * *", "0\t0   *  *\t *"), ("07 08 09 010 *", "7 8 9 10 *", "07 08 09 010 *"),
    ("*/1 0/1 * */1 *", "* 0/1 * * *", "*/1 0/1 * */1 *"),
    ("5,3,5,1-2 * * * *", "1-2,3,5 * * * *", "5,3,5,1-2 * * * *"),
    ("7 0 * * 7", "7 0 * * 0", "7 0 * * 7"),
    ("0 0 */9,5,2 * 3,*/5,1", "0 0 */9,2,5 * 1,3,*/5", "0 0 */9,5,2 * 3,*/5,1"),
    ("0 0 * * SAT-SUN", "0 0 * * 6-7", "0 0 * * SAT-SUN"),
  ])
  func `the normal form has single spaces, numbers and sorted lists, and the source is kept`(
    text: String, normal: String, source: String
  ) throws {
    let expression = try CronExpression(text)
    #expect(expression.description == normal)
    #expect(expression.source == source)
    #expect(try CronExpression(normal).description == normal)
  }

  @Test func `the 29th of February comes in leap years only`() throws {
    #expect(
      try cron("0 0 29 2 *").next(3, after: time("2095-01-01T00:00:00Z")).map(short)
        == ["2096-02-29T00:00Z", "2104-02-29T00:00Z", "2108-02-29T00:00Z"])
    // On a Sunday, and across a century without a leap day at its turn.
    #expect(
      try cron("0 0 29 2 */7").next(3, after: time("2060-03-01T00:00:00Z")).map(short)
        == ["2088-02-29T00:00Z", "2128-02-29T00:00Z", "2156-02-29T00:00Z"])
  }

  @Test(arguments: ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "* * 30-31 FEB ?", "0 0 31 4 */2", "0 0 30 2 *,1"])
  func `an expression that would never run is refused`(expression: String) {
    #expect(cronFault(expression) == "the expression never runs: none of its months has one of its days")
  }

  @Test(arguments: ["0 0 30 2 1", "0 0 29 2 *", "0 0 31 1,2 *", "0 0 31 4 0-6"])
  func `an expression that runs now and then is taken`(expression: String) throws {
    #expect(try cron(expression).next(after: time("2026-01-01T00:00:00Z")) != nil)
  }
}

@Suite struct CronFaultTests {
  @Test(arguments: [
    ("0 24 * * *", "the hour 24 is not within 0–23"),
    ("60 * * * *", "the minute 60 is not within 0–59"),
    ("0 0 0 * *", "the day of the month 0 is not within 1–31"),
    ("0 0 32 * *", "the day of the month 32 is not within 1–31"),
    ("0 0 * 0 *", "the month 0 is not within 1–12"),
    ("0 0 * 13 *", "the month 13 is not within 1–12"),
    ("0 0 * * 8", "the day of the week 8 is not within 0–7"),
    ("0 0 * * 1-8", "the day of the week 8 is not within 0–7"),
    ("0 99999999999999999999999999 * * *", "the hour 99999999999999999999… is not within 0–23"),
    ("0 22-2 * * *", "the hour 22-2 runs backwards; write it as two ranges"),
    ("0 0 * * FRI-MON", "the day of the week FRI-MON runs backwards; write it as two ranges"),
    ("0 0 * NOV-FEB *", "the month NOV-FEB runs backwards; write it as two ranges"),
    ("*/0 * * * *", "the minute's step 0 is not within 1–60"),
    ("*/90 * * * *", "the minute's step 90 is not within 1–60"),
    ("0 */25 * * *", "the hour's step 25 is not within 1–24"),
    ("0 0 * * */8", "the day of the week's step 8 is not within 1–7"),
    ("*/ * * * *", "the minute ends where a step is expected"),
    ("1- * * * *", "the minute ends where a value is expected"),
    ("1, * * * *", "the minute ends where a value is expected"),
    ("1,,2 * * * *", "the minute has , where it has no place"),
    (",1 * * * *", "the minute has , where it has no place"),
    ("-1 * * * *", "the minute has - where it has no place"),
    ("1-2-3 * * * *", "the minute has - where it has no place"),
    ("*/2/3 * * * *", "the minute has / where it has no place"),
    ("*-5 * * * *", "the minute has - where it has no place"),
    ("** * * * *", "the minute has * where it has no place"),
    ("1.5 * * * *", "the minute has . where it has no place"),
    ("+1 * * * *", "the minute has + where it has no place"),
    ("JAN * * * *", "the minute has J where it has no place"),
    ("0 0 * MON *", "the month MON is neither a number nor one of JAN–DEC"),
    ("0 0 * * MONDAY", "the day of the week MONDAY is neither a number nor one of SUN–SAT"),
    ("0 0 * * MO", "the day of the week MO is neither a number nor one of SUN–SAT"),
    ("0 0 L * *", "the day of the month has L, which is not taken: numbers, names, lists, ranges and steps are"),
    ("0 0 LW * *", "the day of the month has L, which is not taken: numbers, names, lists, ranges and steps are"),
    ("0 0 15W * *", "the day of the month has W, which is not taken: numbers, names, lists, ranges and steps are"),
    ("0 0 * * 5L", "the day of the week has L, which is not taken: numbers, names, lists, ranges and steps are"),
    ("0 0 * * MON#2", "the day of the week has #, which is not taken: numbers, names, lists, ranges and steps are"),
    ("H * * * *", "the minute has H, which is not taken: write the number that it should stand for"),
    ("? * * * *", "the minute has ?, which stands alone in one of the two day fields, or write *"),
    ("0 0 ?/2 * *", "the day of the month has ?, which stands alone in one of the two day fields, or write *"),
  ])
  func `a bad value is named with its field and what may stand there`(expression: String, sentence: String) {
    #expect(cronFault(expression) == sentence)
  }

  @Test(arguments: [
    (
      "",
      "the expression is empty; it takes five fields: minute, hour, day of the month, month, day of the week"
    ),
    (
      " \t ",
      "the expression is empty; it takes five fields: minute, hour, day of the month, month, day of the week"
    ),
    (
      "0 0 * * * *",
      """
      the expression has 6 fields and takes five: minute, hour, day of the month, month, day of the week; \
      seconds and years are not taken
      """
    ),
    (
      "* * * *", "the expression has 4 fields and takes five: minute, hour, day of the month, month, day of the week"
    ),
    (
      "hourly", "the expression has 1 field and takes five: minute, hour, day of the month, month, day of the week"
    ),
    ("CRON_TZ=Europe/Berlin 0 0 * * *", "the expression begins with a setting; the time zone goes into timeZone"),
    ("@every 5m", "@every is not taken; use everySeconds"),
    ("@reboot", "@reboot is not taken: a schedule belongs to all nodes, not to one that starts"),
    (
      "@fortnightly-or-even-less-often",
      "@fortnightly-or-even… is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
    ),
    ("@", "@ is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"),
  ])
  func `an expression as a whole is refused with what it takes`(expression: String, sentence: String) {
    #expect(cronFault(expression) == sentence)
  }

  @Test(arguments: [
    ("0 0 * * *\0", 10), ("0 0\n* * *", 4), ("\u{202E}0 0 * * *", 1), ("0 0 * * *\r", 10), ("0 0 * * ＊", 9),
    ("0 0 * * \u{661}", 9), ("\u{1B}[2J", 1), ("0 0 * JÄN *", 8), ("0\u{A0}0 * * *", 2),
  ])
  func `a character from elsewhere is told by its place and never repeated`(expression: String, place: Int) {
    #expect(cronFault(expression) == "the expression has a character that has no place in it, at byte \(place)")
  }

  @Test func `ten megabytes of anything are refused by their length`() {
    for part in ["*", "1,", "0 ", "\0", "@", "*/5,", "9", "😀", "/", "-"] {
      let text = String(repeating: part, count: 10_000_000 / part.utf8.count)
      #expect(cronFault(text) == "the expression is \(text.utf8.count) bytes long; at most 512 are taken")
    }
  }

  @Test func `every minute written out fits, and one byte more than the limit does not`() throws {
    let all = (0...59).map(String.init).joined(separator: ",")
    #expect(
      try cron("\(all) * * * *").next(3, after: time("2026-01-01T00:00:00Z")).map(short) == [
        "2026-01-01T00:01Z", "2026-01-01T00:02Z", "2026-01-01T00:03Z",
      ])
    let tail = " * * * *"
    let longest = String(repeating: "0", count: 512 - tail.utf8.count) + tail
    #expect(cronFault(longest) == nil)
    #expect(cronFault("0" + longest) == "the expression is 513 bytes long; at most 512 are taken")
  }

  @Test func `what is put together at random is refused or understood, and what is understood reads back as the same`()
    throws
  {
    var random = SplitMix64(state: 20_260_101)
    let pieces = ["*", "*/", "/", "-", ",", "?", "L", "#", "@", "+", "0", "1", "2", "5", "7", "12", "59", "MON", "jan"]
    var understood = 0
    for _ in 0..<20_000 {
      let fields = (0..<5).map { _ in
        // Nobody would guess five fields at once.
        guard Bool.random(using: &random) else { return "1" }
        let length = Bool.random(using: &random) ? 1 : Int.random(in: 2...4, using: &random)
        return (0..<length).map { _ in pieces.randomElement(using: &random)! }.joined()
      }
      guard let expression = try? CronExpression(fields.joined(separator: " ")) else { continue }
      understood += 1
      let again = try CronExpression(expression.description)
      #expect(again == expression)
      let start = try time("2026-01-01T00:00:00Z")
      #expect(try cron(expression.source).next(3, after: start) == cron(again.source).next(3, after: start))
    }
    #expect(understood > 50)
  }
}
