// Completion scripts: that shells take them, and that they know the program.

internal import ArgumentParser
internal import Foundation
internal import Testing

@testable internal import MartletCommand

@Suite("Shell completion")
struct CompletionTests {
  @Test("each shell gets its script, which knows every command", arguments: ["bash", "zsh", "fish"])
  func scripts(name: String) async throws {
    let run = try await Program.run(["completion", name], server: "http://127.0.0.1:1")
    #expect(run.status == 0)
    #expect(run.errors == "")
    for command in MartletCommand.configuration.subcommands {
      let name = try #require(command.configuration.commandName)
      #expect(run.output.contains(name), "\(name)")
    }
    #expect(run.output.contains("dead-letters") && run.output.contains("priority"))
    #expect(try shell(name, ["-n"], script: run.output).status == 0, "its own syntax check")
  }

  @Test("another shell, or none, is wrong usage", arguments: [["completion"], ["completion", "tcsh"]])
  func unknown(arguments: [String]) async throws {
    let run = try await Program.run(arguments, server: "http://127.0.0.1:1")
    #expect(run.status == 2)
    #expect(run.errorLines.count == 1)
  }

  @Test(
    "bash completes with it",
    arguments: [
      ("ta", "tasks"), ("tasks fo", "follow"), ("dead-l", "dead-letters"), ("submit --prio", "--priority"),
      ("completion zs", "zsh"),
    ])
  func bash(words: String, expected: String) async throws {
    let script = try await Program.run(["completion", "bash"], server: "http://127.0.0.1:1").output
    let completing = """
      COMP_WORDS=(martlet \(words)); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="martlet \(words)"
      COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
      _martlet martlet "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
      printf '%s\\n' "${COMPREPLY[@]}"
      """
    let text = try shell("bash", ["--norc"], script: script + "\n" + completing).output
    #expect(text.split(separator: "\n").contains { $0 == expected }, "\(text)")
  }

  /// Runs a script from a file; scripts/setup --test installs the shells.
  private func shell(_ name: String, _ arguments: [String], script: String) throws -> (status: Int32, output: String) {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-\(UUID())")
    try Data(script.utf8).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [name] + arguments + [file.path]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }
}
