// Notices as mails: what they tell by the built-in templates, templates of one's own, and what hostile texts cannot do.

import MartletCore
import Testing

@testable import MartletEvents

@Suite struct NoticeMailTests {
  private func mail(_ notice: Notice, _ templates: MailTemplates? = nil) throws -> MailMessage {
    try notice.mail(
      from: MailAddress("Martlet <martlet@example.com>"), to: [MailAddress("ops@example.com")],
      messageID: "<1.7@martlet>", date: Timestamp(milliseconds: 1_769_940_100_000),
      templates: templates ?? MailTemplates())
  }

  @Test func `the built-in mail tells all that a notice has to`() throws {
    let mail = try mail(aNotice())
    #expect(mail.subject == "[Martlet] FAILED: resize-image 01900000-0000-7000-8000-000000000001")
    #expect(mail.headers == [MailMessage.Header("Auto-Submitted", "auto-generated")])
    #expect(
      mail.text == """
        Task resize-image ended FAILED.

          Task       01900000-0000-7000-8000-000000000001
          Type       resize-image
          Queue      images
          Status     FAILED (RETRIES_EXHAUSTED)
          Attempts   3 of 3
          Created    2026-02-01T10:00:00.000Z
          Started    2026-02-01T10:01:00.000Z
          Finished   2026-02-01T10:01:01.000Z

        Error: HTTP_503

        the image server is away

        Last log lines:

        fetching
        gave up

        Metadata:

        a: b
        orderId: 42

        -- 
        Sent by Martlet, because a notice was asked for.

        """)
    let html = try #require(mail.html)
    for told in [
      "resize-image", "FAILED (RETRIES_EXHAUSTED)", "3 of 3", "01900000-0000-7000-8000-000000000001", "HTTP_503",
      "the image server is away", "fetching\ngave up", "2026-02-01T10:01:01.000Z", "orderId: 42",
    ] { #expect(html.contains(told)) }
    #expect(!html.contains("{{") && !mail.text.contains("{{"))
  }

  @Test func `what a task does not have is left out`() throws {
    let mail = try mail(
      aNotice(.cancelled, logs: []) {
        $0.startedAt = nil
        $0.metadata = [:]
      })
    for word in ["Started", "Error", "Last log lines", "Metadata", "Result", "("] { #expect(!mail.text.contains(word)) }
    for word in ["Started", "Error", "Last log lines", "Metadata", "Result"] {
      #expect(try !#require(mail.html).contains(word))
    }
  }

  @Test func `a success has its result`() throws {
    let mail = try mail(aNotice(.success) { $0.result = Array(#"{"width":800}"#.utf8) })
    #expect(mail.subject.hasPrefix("[Martlet] SUCCESS: "))
    #expect(mail.text.contains("Result:\n\n{\"width\":800}\n"))
    #expect(try #require(mail.html).contains("{&quot;width&quot;:800}"))
  }

  @Test func `templates of one's own take every placeholder, with and without spaces`() throws {
    let all = Notice.places.map { "\($0)={{ \($0) }};" }.joined()
    let templates = try MailTemplates(
      subject: "{{type}}/{{status}}/{{metadata.orderId}}", text: all + "{{metadata.none}}|{{#stack}}no{{/stack}}",
      html: "<b>{{type}}</b>")
    let mail = try mail(aNotice(), templates)
    #expect(mail.subject == "resize-image/FAILED/42")
    #expect(mail.html == "<b>resize-image</b>")
    #expect(
      mail.text == """
        taskId=01900000-0000-7000-8000-000000000001;type=resize-image;queue=images;status=FAILED;taskStatus=DEAD;\
        reason=RETRIES_EXHAUSTED;attempt=3;maxAttempts=3;errorType=HTTP_503;error=the image server is away;stack=;result=;\
        logs=fetching
        gave up;createdAt=2026-02-01T10:00:00.000Z;startedAt=2026-02-01T10:01:00.000Z;\
        finishedAt=2026-02-01T10:01:01.000Z;timestamp=2026-02-01T10:01:01.000Z;metadata=a: b
        orderId: 42;|
        """)
  }

  @Test func `a text of one's own without HTML makes mails without HTML`() throws {
    #expect(try mail(aNotice(), MailTemplates(text: "x")).html == nil)
    #expect(try mail(aNotice(), MailTemplates(subject: "x")).html != nil)
    let both = try mail(aNotice(), MailTemplates(html: "<p>x"))
    #expect(both.html == "<p>x" && both.text.hasPrefix("Task resize-image"))
  }

  @Test func `all that is wrong with templates is told at the start, by name`() throws {
    let problem = #expect(throws: TemplateProblems.self) {
      try MailTemplates(
        subject: "{{taksId}} {{ }}", text: "{{#error}} {{/logs}}", html: "{{metadata.}} {{status} <b>")
    }
    let lines = try #require(problem).lines
    #expect(
      lines.dropLast() == [
        "the subject template: {{taksId}} is no placeholder", "the subject template: {{}} is no placeholder",
        "the HTML template: {{metadata.}} is no placeholder", "the HTML template: a {{ has no }}",
        "the text template: {{/logs}} closes nothing that is open", "the text template: {{#error}} has no {{/error}}",
      ])
    #expect(try #require(lines.last).hasPrefix("there are taskId, type, queue,"))
  }

  private static let attack =
    "<img src=x onerror=alert(1)>\"'&</pre>{{logs}}\r\nBcc: victim@example.com\r\n\r\n\u{0}\u{1B}]0;x\u{7}\u{202E}gnp.exe"

  @Test func `in HTML a task's words are words and no markup`() throws {
    let mail = try mail(
      aNotice(logs: [Self.attack]) {
        $0.lastError = TaskError(type: Self.attack, message: Self.attack, stack: Self.attack)
        $0.metadata = [Self.attack: Self.attack]
        $0.result = Array(Self.attack.utf8)
      })
    let html = try #require(mail.html)
    #expect(
      !html.contains("<img") && !html.contains("alert(1)>")
        && html.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;"))
    for text in [html, mail.text] {
      for scalar in ["\u{0}", "\u{1B}", "\u{7}", "\u{202E}"] as [Unicode.Scalar] {
        #expect(!text.unicodeScalars.contains(scalar))
      }
      #expect(text.contains("{{logs}}"))  // a value is not looked through for places
    }
  }

  @Test func `in a subject a task's words stay on its line`() throws {
    let templates = try MailTemplates(subject: "{{error}} {{metadata.x}}")
    let mail = try mail(
      aNotice {
        $0.lastError = TaskError(type: "E", message: Self.attack)
        $0.metadata = ["x": String(repeating: "long ", count: 10_000)]
      }, templates)
    #expect(!mail.subject.unicodeScalars.contains(where: isControl))
    #expect(mail.subject.unicodeScalars.count <= 251)
  }

  @Test func `a mail has a bounded size, and the last log lines`() throws {
    let long = String(repeating: "😀", count: 500_000)
    let logs = (0..<5000).map { "line \($0)" } + [String(repeating: "x", count: 5000)]
    let mail = try mail(
      aNotice(logs: logs) {
        $0.lastError = TaskError(type: long, message: long, stack: long)
        $0.result = Array(long.utf8)
        $0.metadata = Dictionary(uniqueKeysWithValues: (0..<32).map { ("\($0)", long) })
      })
    #expect(mail.wire.count < 1_000_000)
    #expect(mail.text.contains("line 4999\nxxx") && !mail.text.contains("line 4900\n"))
  }
}
