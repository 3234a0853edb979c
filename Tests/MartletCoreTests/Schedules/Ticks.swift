// Shorthands of the schedule tests: timings from texts, ticks as texts.

import MartletCore
import Testing

/// The zones of the operating system. Debian and the images of Swift have them; where they are missing, tests fail.
let zones = ZoneDatabase.system

func time(_ text: String) throws -> Timestamp {
  try #require(Timestamp(text), "\(text) is no time")
}

func cron(_ expression: String, _ timeZone: String = "UTC", _ zones: ZoneDatabase = zones) throws -> ScheduleTiming {
  try ScheduleTiming(.cron(CronExpression(expression), timeZone: timeZone), anchor: .earliest, zones: zones)
}

func every(_ seconds: Double, from anchor: String) throws -> ScheduleTiming {
  try ScheduleTiming(.every(milliseconds: Int64(seconds * 1000)), anchor: time(anchor), zones: zones)
}

/// The ticks after one moment and up to another, as `2026-03-29T01:00Z`.
func ticks(_ timing: ScheduleTiming, after lower: String, through upper: String) throws -> [String] {
  let end = try time(upper)
  var found: [String] = []
  var tick = timing.next(after: try time(lower))
  while let now = tick, now <= end {
    found.append(short(now))
    tick = timing.next(after: now)
  }
  return found
}

/// Without the seconds where there are none.
func short(_ time: Timestamp) -> String {
  time.milliseconds % 60_000 == 0 ? "\(time.description.prefix(16))Z" : time.description
}

/// What is wrong with an expression; nil if nothing is.
func cronFault(_ expression: String) -> String? {
  do {
    _ = try CronExpression(expression)
    return nil
  } catch {
    return error.description
  }
}
