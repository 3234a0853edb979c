// The table of addresses that outgoing calls may and may not reach.

import MartletCore
import MartletEngine
import Testing

@testable import Martlet

@Suite("An outgoing address")
struct PrivateTargetsTests {
  @Test(
    "is refused where it is not on the public Internet",
    arguments: [
      // IPv4
      "127.0.0.1", "127.255.255.255", "10.0.0.0", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
      "192.168.255.255", "169.254.0.1", "169.254.169.254", "168.63.129.16", "100.64.0.1", "100.127.255.255",
      "100.100.100.200", "0.0.0.0", "0.1.2.3", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1",
      "198.18.0.1", "198.19.255.255", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
      // IPv6
      "::1", "::", "fe80::1", "febf::1", "fc00::1", "fd00:ec2::254", "fdff::1", "fec0::1", "ff02::1", "2001:db8::1",
      "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1", "3fff::1", "100::1", "::2", "4000::1", "5f00::1",
      // IPv4 inside of IPv6
      "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "::127.0.0.1",
      "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::",
      "2600::5efe:127.0.0.1", "2600::200:5efe:10.0.0.1",
    ])
  func refused(text: String) throws {
    #expect(try #require(IPAddress(text)).refusalAsTarget != nil)
  }

  @Test(
    "is allowed where it is",
    arguments: [
      "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
      "128.0.0.0",
      "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0",
      "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15", "2606:4700::1111", "2a00:1450::1",
      "2001:4860:4860::8888", "2001:200::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
    ])
  func allowed(text: String) throws {
    #expect(try #require(IPAddress(text)).refusalAsTarget == nil)
  }

  @Test(
    "in an odd spelling is judged by what the resolver makes of it",
    arguments: ["127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "127.0.1", "0", "localhost"])
  func oddSpellings(host: String) async throws {
    await #expect { try await PrivateTargets(areAllowed: false).vetted(host) } throws: { error in
      let failure = error as? TaskFailure
      return failure?.error.type == "TARGET_REFUSED" && failure?.isRetryable == false
    }
  }

  @Test("is chosen among the public ones of a name, in their order")
  func mixed() async throws {
    let addresses = ["10.0.0.1", "2606:4700::1111", "::1", "1.1.1.1"].compactMap { IPAddress($0) }
    let vetted = try await PrivateTargets(areAllowed: false, resolve: { _ in addresses }).vetted("both.example")
    #expect(vetted?.map(\.description) == ["2606:4700::1111", "1.1.1.1"])
  }

  @Test("is not looked at where everything is allowed")
  func allAllowed() async throws {
    let targets = PrivateTargets(
      areAllowed: true,
      resolve: { _ in
        Issue.record("resolved a name for nothing")
        return []
      })
    #expect(try await targets.vetted("localhost") == nil)
  }

  @Test("is needed: a name without one may be tried again later")
  func noAddress() async throws {
    await #expect { try await PrivateTargets(areAllowed: false, resolve: { _ in [] }).vetted("x.example") } throws: {
      error in
      (error as? TaskFailure)?.error.type == "DNS_FAILED" && (error as? TaskFailure)?.isRetryable == true
    }
  }

  @Test(
    "is only read in its strict form",
    arguments: ["127.1", "1.2.3", "256.1.1.1", "1.2.3.4 ", "[::1]", "fe80::1%lo", ""])
  func strict(text: String) {
    #expect(IPAddress(text) == nil)
  }
}
