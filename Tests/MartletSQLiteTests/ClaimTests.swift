// How far one claim goes while all other writers wait for it.

import MartletCore
import MartletTestKit
import Testing

@Suite struct ClaimTests {
  private static let lane = Lane(queue: "default", type: "resize")

  @Test func `a claim clears away so many expired tasks and no more, and tells that there may be others`() async throws
  {
    try await onFile { bench, _ in
      let expiry = bench.now + .seconds(1)
      try await bench.submit((1...1200).map { .stub($0, priority: 9, expiresAt: expiry) })
      try await bench.submit(.stub(2000))
      bench.advance(.seconds(2))
      let heard = listen(to: bench)
      for expired in [500, 1000] {
        #expect(try await bench.claim(limit: 10) == [])
        #expect(heard.take() == [.work([Self.lane])])
        #expect(try await bench.countsByStatus()[.cancelled] == expired)
      }
      #expect(try await bench.claim(limit: 10).map(\.id) == [.stub(2000)])
      #expect(heard.take() == [])
    }
  }

  @Test func `of tasks that are named each is looked at, however many have expired`() async throws {
    try await onFile { bench, _ in
      let expiry = bench.now + .seconds(1)
      try await bench.submit((1...600).map { .stub($0, priority: 9, expiresAt: expiry) } + [.stub(601)])
      bench.advance(.seconds(2))
      let request = ClaimRequest(
        worker: "w", queues: ["default"], types: ["resize"], ids: (1...601).map { .stub($0) }, limit: 601, token: 7)
      #expect(try await bench.store.claim([request])[0].map(\.id) == [.stub(601)])
    }
  }

  @Test func `those that have lost a worker are passed over, however many, for what stands behind them`() async throws {
    try await onFile { bench, _ in
      try await bench.submit((1...60).map { .stub($0, priority: 9) })
      #expect(try await bench.claim(limit: 60).count == 60)
      bench.advance(.seconds(31))
      try await bench.rescue()
      bench.advance(.seconds(60))
      #expect(try await bench.promote().promoted == 60)
      try await bench.submit((101...110).map { .stub($0) })
      let heard = listen(to: bench)
      let claimed = try await bench.claim(limit: 5, ahead: 4, token: 8)
      #expect(claimed.map { $0.id >= .stub(101) } == [false, true, true, true, true])
      #expect(claimed.dropFirst().map(\.id) == (101...104).map { .stub($0) })
      #expect(heard.take() == [])
    }
  }
}
