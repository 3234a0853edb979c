// `martlet completion`: what a shell needs to complete the program's commands and options.

internal import ArgumentParser

struct CompletionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "completion", abstract: "Print the completion script for a shell.",
    discussion: """
      Load it when the shell starts:

        bash  echo 'source <(martlet completion bash)' >> ~/.bashrc
        zsh   martlet completion zsh > DIRECTORY/_martlet, for a DIRECTORY of your $fpath
        fish  martlet completion fish > ~/.config/fish/completions/martlet.fish
      """)

  enum Shell: String, CaseIterable, ExpressibleByArgument {
    case bash, zsh, fish

    fileprivate var kind: CompletionShell {
      switch self {
      case .bash: .bash
      case .zsh: .zsh
      case .fish: .fish
      }
    }
  }

  @Argument(help: "bash, zsh or fish.")
  var shell: Shell

  func run() {
    Console.out(MartletCommand.completionScript(for: shell.kind))
  }
}
