internal import MartletCore
internal import Testing

@Suite struct QueuePatternTests {
  @Test(arguments: [
    ("mail", "mail", true), ("mail", "mails", false), ("mail", "Mail", false), ("mail*", "mail", true),
    ("mail*", "mail.bulk", true), ("mail*", "amail", false), ("*mail", "hotmail", true), ("*", "", true),
    ("*", "anything", true), ("a*b*c", "abc", true), ("a*b*c", "a-b-b-c", true), ("a*b*c", "acb", false),
    ("**", "x", true), ("*a*a*a*", "aa", false), ("a.c", "abc", false), ("mail:*", "mail:eu:1", true),
  ])
  func `a star stands for any characters, and nothing else does`(pattern: String, queue: String, matches: Bool) throws {
    #expect(try #require(QueuePattern(pattern)).matches(queue) == matches)
  }

  @Test func `a pattern of many stars costs no more than its length times the name's`() throws {
    let pattern = try #require(QueuePattern(String(repeating: "a*", count: 63) + "b"))
    #expect(!pattern.matches(String(repeating: "a", count: 128)))
  }

  @Test(arguments: ["", "a b", "mail/*", "mail?", "[a]", "ä", "a\u{0}", "a\n", String(repeating: "x", count: 129)])
  func `what no queue can be called is no pattern`(text: String) {
    #expect(QueuePattern(text) == nil)
  }

  @Test func `a credential without queues may use all, with an empty list none`() {
    #expect(Credential(actor: "key:x", roles: []).mayUse(queue: "any"))
    #expect(!Credential(actor: "key:x", roles: [], queues: []).mayUse(queue: "any"))
    let bound = Credential(actor: "key:x", roles: [], queues: ["mail*", "web"].compactMap(QueuePattern.init))
    #expect(bound.mayUse(queue: "mail.bulk") && bound.mayUse(queue: "web") && !bound.mayUse(queue: "web2"))
  }
}
