// Nothing that a task's author wrote may drive the terminal of whoever looks at it.

internal import Testing

@testable internal import MartletCommand

@Suite("Fit to be shown")
struct PlainTests {
  @Test(
    "controls, direction marks and other invisible characters are shown as escapes",
    arguments: [
      ("\u{1B}[2J\u{1B}]0;owned\u{07}", "\\u{1b}[2J\\u{1b}]0;owned\\u{7}"),
      ("a\nb\rc\td", "a\\nb\\rc\\td"),
      ("\u{9B}31m", "\\u{9b}31m"),
      ("\u{7F}", "\\u{7f}"),
      ("gpj.\u{202E}exe", "gpj.\\u{202e}exe"),
      ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
      ("a\u{200B}b\u{2028}c\u{FEFF}", "a\\u{200b}b\\u{2028}c\\u{feff}"),
      ("\u{E0041}", "\\u{e0041}"),
      ("a\r\nb", "a\\r\\nb"),
    ])
  func hostile(text: String, shown: String) {
    #expect(Plain.line(text) == shown)
  }

  @Test("what people write stays as it is", arguments: ["", "plain", "é ü ß", "日本語", "👩‍💻 🎉", "שלום", "a\\nb"])
  func harmless(text: String) {
    #expect(Plain.line(text) == text)
  }

  @Test("JSON is escaped in JSON's own way, so that it still means the same")
  func json() {
    #expect(
      Plain.json("{\"a\": \"\u{9B}1m\u{202E}\u{E0041}\",\r\n\t\"b\": 1}")
        == "{\"a\": \"\\u009b1m\\u202e\\udb40\\udc41\",\n\t\"b\": 1}")
    #expect(Plain.json("{\"a\":\"日本 👩‍💻\"}") == "{\"a\":\"日本 👩‍💻\"}")
  }

  @Test("width is counted in columns", arguments: [("abc", 3), ("日本", 4), ("e\u{301}", 1), ("🎉", 2), ("", 0)])
  func width(text: String, columns: Int) {
    #expect(Plain.width(text) == columns)
  }

  @Test("cutting keeps to the columns and says that it cut")
  func cut() {
    #expect(Plain.cut("abcdef", to: 6) == "abcdef")
    #expect(Plain.cut("abcdef", to: 4) == "abc…")
    #expect(Plain.cut("日本語", to: 4) == "日…")
  }

  @Test("no colour where it is not wanted")
  func colour() {
    #expect(Terminal.wantsColour([:]))
    #expect(Terminal.wantsColour(["NO_COLOR": ""]))
    #expect(!Terminal.wantsColour(["NO_COLOR": "1"]))
    #expect(!Terminal.wantsColour(["TERM": "dumb"]))
  }
}
