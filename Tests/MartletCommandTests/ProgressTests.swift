// The line of a task's progress: in place on a terminal, one after the other elsewhere.

internal import Testing

@testable internal import MartletCommand

@Suite("Progress")
struct ProgressTests {
  private let terminal = Terminal(isTerminal: true, width: 20, hasColour: false, movesCursor: true)

  @Test("on a terminal the next progress takes the place of the one before")
  func inPlace() {
    var progress = Progress(on: terminal)
    #expect(progress.text(["started", "1 %"], isProgress: true) == "started\n1 %")
    #expect(progress.text(["2 %"], isProgress: true) == "\u{1B}[1A\u{1B}[2K2 %")
    #expect(progress.text([], isProgress: false) == "")
    #expect(progress.text(["3 %"], isProgress: true) == "\u{1B}[1A\u{1B}[2K3 %")
  }

  @Test("other lines stand below it and stay")
  func others() {
    var progress = Progress(on: terminal)
    _ = progress.text(["1 %"], isProgress: true)
    #expect(progress.text(["failed"], isProgress: false) == "failed")
    #expect(progress.text(["1 %"], isProgress: true) == "1 %")
    #expect(progress.text(["retry", "2 %"], isProgress: true) == "retry\n2 %")
  }

  @Test("a long one is cut, so that it stays one line")
  func long() {
    var progress = Progress(on: terminal)
    #expect(progress.text([String(repeating: "x", count: 30)], isProgress: true).count == 20)
  }

  @Test("a file gets line after line, whole and without control sequences")
  func plain() {
    var progress = Progress(on: .plain)
    let long = String(repeating: "x", count: 300)
    #expect(progress.text(["1 %"], isProgress: true) == "1 %")
    #expect(progress.text([long], isProgress: true) == long)
  }
}
