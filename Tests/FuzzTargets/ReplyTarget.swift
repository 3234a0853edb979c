// What Redis answers, read at once, byte by byte and in uneven pieces.

#if DEBUG || MARTLET_FUZZ
  import NIOCore

  @testable import MartletRedis

  enum ReplyTarget {
    static func run(_ bytes: [UInt8]) throws(Finding) {
      let whole = read(bytes, pieces: [bytes.count + 1])
      for pieces in [[1], [3, 1, 7], [64, 2]] {
        let other = read(bytes, pieces: pieces)
        try require(other.values == whole.values, "in pieces it has other values")
        try require(other.isBroken == whole.isBroken, "in pieces it is \(other.isBroken ? "broken" : "whole")")
      }
    }

    private static func read(_ bytes: [UInt8], pieces: [Int]) -> (values: [RedisValue], isBroken: Bool) {
      let reader = ReplyReader(.init(bytes: 8192, values: 512))
      var values: [RedisValue] = []
      var rest = bytes[...]
      var turn = 0
      do throws(ReplyReader.Broken) {
        while !rest.isEmpty {
          try reader.feed(ByteBuffer(bytes: rest.prefix(pieces[turn % pieces.count])))
          rest = rest.dropFirst(pieces[turn % pieces.count])
          turn += 1
          while let value = try reader.next() { values.append(value) }
        }
        return (values, false)
      } catch {
        return (values, true)
      }
    }
  }
#endif
