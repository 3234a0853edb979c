import ArgumentParser
@main struct Martlet0: AsyncParsableCommand { mutating func run() async throws {} }
