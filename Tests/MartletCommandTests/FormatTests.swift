// Lengths of time and numbers as people read them.

internal import Testing

@testable internal import MartletCommand

@Suite("Formats")
struct FormatTests {
  @Test(
    "lengths of time are told with the precision that matters",
    arguments: [
      (0, "0 s"), (0.0342, "0.034 s"), (1.25, "1.25 s"), (12.54, "12.5 s"), (59.9, "59.9 s"), (60, "1 min"),
      (200, "3 min 20 s"), (7500, "2 h 5 min"), (86_400, "1 d"), (356_400, "4 d 3 h"), (1e300, "1e+300 s"),
    ])
  func seconds(value: Double, text: String) {
    #expect(Format.seconds(value) == text)
  }
}
