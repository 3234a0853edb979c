// Identities: task ids and lease ids as text and bytes, and the generator, whose ids never go backwards.

import Foundation
import MartletCore
import Testing

private let sample = "0192f7c0-89ab-7cde-8f01-23456789abcd"

@Suite struct TaskIDTests {
  @Test func `an id is read in either case and written in lower case`() throws {
    let id = try #require(TaskID(sample))
    #expect(id.high == 0x0192_F7C0_89AB_7CDE)
    #expect(id.low == 0x8F01_2345_6789_ABCD)
    #expect(TaskID(sample.uppercased()) == id)
    #expect(id.description == sample)
    #expect(TaskID(high: 0, low: 0).description == "00000000-0000-0000-0000-000000000000")
    #expect(TaskID(high: .max, low: .max).description == "ffffffff-ffff-ffff-ffff-ffffffffffff")
  }

  @Test(arguments: [
    "", "0192f7c089ab7cde8f0123456789abcd", "{\(sample)}", " \(sample)", "\(sample) ", "\(sample)0",
    "urn:uuid:\(sample)",
    String(sample.dropLast()), "0192f7c0-89ab-7cde-8f01-23456789abcg", "0192f7c0_89ab_7cde_8f01_23456789abcd",
    "0192f7c-089ab-7cde-8f01-23456789abcd", "0192f7c0-89ab-7cde-8f0123456789-abcd",
    "0192f7c0-89ab-7cde-8f01-23456789abc\0",
    "+192f7c0-89ab-7cde-8f01-23456789abcd", "0192f7c0-89ab-7cde-8f01-23456789ab\u{E9}",
    "------------------------------------",
    "\u{FF10}192f7c0-89ab-7cde-8f01-23456789", "0192f7c0-89ab-7cde-8f01-2345678:abcd",
    "0192f7c0-89ab-7cde-8f01-23456789abc/",
    "0192f7c0-89ab-7cde-8f01-23456789abc@", "0192f7c0-89ab-7cde-8f01-23456789abc`",
  ])
  func `what is not written as a UUID is no id`(text: String) {
    #expect(TaskID(text) == nil)
  }

  @Test func `random ids survive as text and as bytes, and sort alike in every form`() throws {
    let random = RandomSource(seed: 1)
    var ids: [TaskID] = []
    for index in 0..<2000 {
      // Half of them share their first eight bytes with another.
      let high = index % 2 == 0 ? random.next() : ids[index - 1].high
      let id = TaskID(high: high, low: random.next())
      #expect(TaskID(id.description) == id)
      let bytes = (0..<16).map { id[$0] }
      #expect(TaskID(bytes: bytes) == id)
      let text = bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
      #expect(text == id.description.replacing("-", with: ""))
      ids.append(id)
    }
    let sorted = ids.sorted()
    #expect(sorted.map(\.description) == ids.map(\.description).sorted())
    #expect(
      sorted
        == ids.sorted { left, right in
          (0..<16).map { left[$0] }.lexicographicallyPrecedes((0..<16).map { right[$0] })
        })
  }

  @Test func `bytes are in network order`() throws {
    let bytes = Array(UInt8(0)..<16)
    let id = try #require(TaskID(bytes: bytes))
    #expect(id.description == "00010203-0405-0607-0809-0a0b0c0d0e0f")
    #expect((0..<16).map { id[$0] } == bytes)
    #expect(TaskID(bytes: ([9] + bytes)[1...]) == id)
  }

  @Test(arguments: [0, 1, 15, 17, 32])
  func `bytes of another count than 16 are no id`(count: Int) {
    #expect(TaskID(bytes: Array(repeating: 1, count: count)) == nil)
  }

  @Test func `an id is a string in JSON`() throws {
    let id = try #require(TaskID(sample))
    #expect(try String(decoding: JSONEncoder().encode([id]), as: UTF8.self) == "[\"\(sample)\"]")
    #expect(try JSONDecoder().decode([TaskID].self, from: Data("[\"\(sample)\"]".utf8)) == [id])
    #expect(throws: DecodingError.self) { try JSONDecoder().decode([TaskID].self, from: Data("[\"x\"]".utf8)) }
  }

  @Test func `an id tells its time`() {
    #expect(TaskID(high: 0x0192_F7C0_89AB_7CDE, low: 0).timestamp == Timestamp(milliseconds: 0x0192_F7C0_89AB))
    #expect(TaskID(high: .max, low: 0).timestamp == Timestamp(milliseconds: 0xFFFF_FFFF_FFFF))
  }
}

@Suite struct TaskIDGeneratorTests {
  private let time = Timestamp(milliseconds: 1_800_000_000_000)

  private func expectVersion7(_ id: TaskID) {
    #expect(id[6] >> 4 == 7, "\(id)")
    #expect(id[8] >> 6 == 0b10, "\(id)")
  }

  @Test func `an id is a UUID of version 7 that begins with its time`() {
    for seed in 0..<1000 as Range<UInt64> {
      let id = TaskIDGenerator(random: RandomSource(seed: seed)).next(at: time)
      expectVersion7(id)
      #expect(id.timestamp == time)
    }
  }

  @Test func `ids of different generators differ in all random bits but the one kept clear`() {
    var ones: (high: UInt64, low: UInt64) = (0, 0)
    var zeros: (high: UInt64, low: UInt64) = (0, 0)
    for seed in 0..<200 as Range<UInt64> {
      let id = TaskIDGenerator(random: RandomSource(seed: seed)).next(at: time)
      ones = (ones.high | id.high, ones.low | id.low)
      zeros = (zeros.high | ~id.high, zeros.low | ~id.low)
    }
    #expect(ones.high & zeros.high == 0x7FF)
    #expect(ones.low & zeros.low == 1 << 62 - 1)
  }

  @Test func `a hundred thousand ids of one millisecond only rise`() {
    let generator = TaskIDGenerator(random: RandomSource(seed: 3))
    var previous = generator.next(at: time)
    var falls = 0
    for _ in 0..<100_000 {
      let id = generator.next(at: time)
      if id <= previous { falls += 1 }
      previous = id
    }
    #expect(falls == 0)
    #expect(previous.timestamp == time)
    expectVersion7(previous)
  }

  @Test func `ids of one millisecond cannot be told from each other by counting`() {
    let generator = TaskIDGenerator(random: RandomSource(seed: 4))
    let ids = (0..<100).map { _ in generator.next(at: time) }
    let steps = zip(ids, ids.dropFirst()).map { $1.low &- $0.low }
    #expect(Set(steps).count == steps.count)
  }

  @Test func `ids rise while the clock goes backwards`() {
    let generator = TaskIDGenerator(random: RandomSource(seed: 5))
    var previous = generator.next(at: time)
    for step in 1...1000 {
      let id = generator.next(at: time + .milliseconds(-step))
      #expect(id > previous)
      previous = id
    }
    #expect(previous.timestamp == time)
    let later = generator.next(at: time + .milliseconds(1))
    #expect(later > previous)
    #expect(later.timestamp == time + .milliseconds(1))
  }

  @Test func `the low bits carry over into the high ones`() {
    // The second number of this seed is 2⁶⁴ − 1: the 62 low bits are all set in the first id.
    let generator = TaskIDGenerator(random: RandomSource(seed: 0x932B_113C_FBD6_B596))
    let first = generator.next(at: time)
    let second = generator.next(at: time)
    #expect(first.low == 0xBFFF_FFFF_FFFF_FFFF)
    #expect(second.high == first.high + 1)
    #expect(second > first)
    #expect(second.timestamp == time)
    expectVersion7(second)
  }

  @Test(arguments: [Int64.min, -1, 0, 1 << 48 - 1, 1 << 48, .max])
  func `a clock out of range still gives ids that rise`(milliseconds: Int64) {
    let generator = TaskIDGenerator(random: RandomSource(seed: 6))
    let ids = (0..<3).map { _ in generator.next(at: Timestamp(milliseconds: milliseconds)) }
    #expect(ids[0] < ids[1] && ids[1] < ids[2])
    for id in ids {
      expectVersion7(id)
      #expect(id.timestamp.milliseconds == min(max(milliseconds, 0), 1 << 48 - 1))
    }
  }

  @Test func `ids drawn by many at once are all different, and rise for each`() async {
    let generator = TaskIDGenerator(random: .system)
    let time = time
    let all = await withTaskGroup(of: [TaskID].self) { group in
      for _ in 0..<8 {
        group.addTask { @concurrent in (0..<5000).map { _ in generator.next(at: time) } }
      }
      return await group.reduce(into: [[TaskID]]()) { $0.append($1) }
    }
    #expect(Set(all.joined()).count == 40_000)
    for ids in all { #expect(zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 }) }
  }
}

@Suite struct LeaseIDTests {
  @Test(
    arguments: [
      (0, "0000000000000000"), (1, "0000000000000001"), (-1, "ffffffffffffffff"), (.max, "7fffffffffffffff"),
      (.min, "8000000000000000"), (0x0123_4567_89AB_CDEF, "0123456789abcdef"),
    ] as [(Int64, String)])
  func `a lease id is the task, the attempt and the token in sixteen hex digits`(token: Int64, hex: String) throws {
    let lease = LeaseID(task: try #require(TaskID(sample)), attempt: 12, token: token)
    #expect(lease.description == "\(sample).12.\(hex)")
    #expect(LeaseID(lease.description) == lease)
  }

  @Test func `random lease ids read back as they were written`() {
    let random = RandomSource(seed: 9)
    for _ in 0..<1000 {
      let lease = LeaseID(
        task: TaskID(high: random.next(), low: random.next()), attempt: 1 + random.below(.max - 1),
        token: Int64(bitPattern: random.next()))
      #expect(LeaseID(lease.description) == lease)
    }
  }

  @Test(arguments: [
    "", ".", "..", sample, "\(sample).1", "\(sample).1.", "\(sample)..0000000000000001", ".1.0000000000000001",
    "\(sample).0.0000000000000001", "\(sample).-1.0000000000000001", "\(sample).x.0000000000000001",
    "\(sample).1.1", "\(sample).1.00000000000000001", "\(sample).1.000000000000000g", "\(sample).1.000000000000001",
    "\(sample).1.0000000000000001.", ".\(sample).1.0000000000000001", "\(sample).1.0000000000000001 ",
    " \(sample).1.0000000000000001", "\(sample) .1.0000000000000001", "\(sample).1 .0000000000000001",
    "\(sample).9223372036854775808.0000000000000001", "\(sample).1.-000000000000001", "x.1.0000000000000001",
    "\(sample).\u{661}.0000000000000001", "\(sample)\0.1.0000000000000001", "\(sample).1.00000000000000\u{E9}",
  ])
  func `what is not written so is no lease id`(text: String) {
    #expect(LeaseID(text) == nil)
  }
}
