// What can be said to `Simulate`.

import Foundation
import MartletTestKit
import Simulation

struct Options {
  var seeds = 2000
  var first: UInt64 = 1
  var seed: UInt64?
  var jobs = ProcessInfo.processInfo.activeProcessorCount
  var without: Set<Plan.Feature> = []
  var showsSabotage = false
  var sabotage: Sabotage?
  var most = 500
  var corpus: [Corpus.Entry] = Corpus.entries

  struct Problem: Error, CustomStringConvertible {
    let description: String
  }

  static let usage = """
    usage: Simulate [--seeds N] [--first SEED] [--jobs N]     so many worlds, and those of the corpus
           Simulate --seed SEED [--without FEATURE,…] [--with-bug BUG]   one world and its story
           Simulate --sabotage [BUG] [--most SEEDS]           after how many worlds each bug put in on purpose is found
    features: \(Plan.Feature.allCases.map(\.rawValue).joined(separator: " "))
    bugs: \(Sabotage.allCases.map(\.rawValue).joined(separator: " "))
    """

  init(_ arguments: [String]) throws {
    var arguments = arguments[...]
    func value(of option: String) throws -> String {
      guard let value = arguments.popFirst() else { throw Problem(description: "\(option) needs a value") }
      return value
    }
    func number<Number: FixedWidthInteger>(of option: String) throws -> Number {
      let text = try value(of: option)
      guard let number = Number(text), number > 0 else { throw Problem(description: "\(option) \(text): not a number") }
      return number
    }
    func bug(_ text: String) throws -> Sabotage {
      guard let bug = Sabotage(rawValue: text) else { throw Problem(description: "\(text): no such bug") }
      return bug
    }
    while let option = arguments.popFirst() {
      switch option {
      case "--seeds": seeds = try number(of: option)
      case "--first": first = try number(of: option)
      case "--seed": seed = try number(of: option)
      case "--jobs": jobs = try number(of: option)
      case "--most": most = try number(of: option)
      case "--with-bug": sabotage = try bug(try value(of: option))
      case "--without":
        for name in try value(of: option).split(separator: ",") {
          guard let feature = Plan.Feature(rawValue: String(name)) else {
            throw Problem(description: "\(name): no such feature")
          }
          without.insert(feature)
        }
      case "--sabotage":
        showsSabotage = true
        if let next = arguments.first, !next.hasPrefix("--") { sabotage = try bug(try value(of: option)) }
      default: throw Problem(description: "\(option): not known")
      }
    }
  }
}
