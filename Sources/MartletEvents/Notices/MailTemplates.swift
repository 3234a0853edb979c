// How a notice reads as a mail: the built-in texts, or those that the operator has written. Made at the start, so that a misspelt
// placeholder is told then and not with the first notice.

package struct MailTemplates: Sendable, Hashable {
  let subject: Template
  let text: Template
  /// Nil: mails are text alone.
  let html: Template?

  /// - Parameters: nil for the built-in one; with a text of one's own and no HTML, mails have no HTML.
  /// - Throws: all that is wrong with them, a line each, which names the template.
  package init(subject: String? = nil, text: String? = nil, html: String? = nil) throws(TemplateProblems) {
    var problems: [String] = []
    func read(_ name: String, _ source: String) -> Template? {
      do throws(TemplateProblems) {
        return try Template(source, isKnown: Notice.isPlace)
      } catch {
        problems += error.lines.map { "the \(name) template: \($0)" }
        return nil
      }
    }
    let subject = read("subject", subject ?? Self.builtInSubject)
    let html = text != nil && html == nil ? nil : read("HTML", html ?? Self.builtInHTML)
    let text = read("text", text ?? Self.builtInText)
    guard problems.isEmpty, let subject, let text else {
      let hint = "there are \(Notice.places.joined(separator: ", ")) and metadata.NAME"
      throw TemplateProblems(problems + (problems.contains { $0.hasSuffix("placeholder") } ? [hint] : []))
    }
    self.subject = subject
    self.text = text
    self.html = html
  }

  private static let builtInSubject = "[Martlet] {{status}}: {{type}} {{taskId}}"

  private static let builtInText = """
    Task {{type}} ended {{status}}.

      Task       {{taskId}}
      Type       {{type}}
      Queue      {{queue}}
      Status     {{status}}{{#reason}} ({{reason}}){{/reason}}
      Attempts   {{attempt}} of {{maxAttempts}}
      Created    {{createdAt}}
    {{#startedAt}}  Started    {{startedAt}}
    {{/startedAt}}{{#finishedAt}}  Finished   {{finishedAt}}
    {{/finishedAt}}{{#error}}
    Error: {{errorType}}

    {{error}}
    {{/error}}{{#result}}
    Result:

    {{result}}
    {{/result}}{{#logs}}
    Last log lines:

    {{logs}}
    {{/logs}}{{#metadata}}
    Metadata:

    {{metadata}}
    {{/metadata}}
    -- 
    Sent by Martlet, because a notice was asked for.

    """

  // Styles stand at the elements: many mail programs drop all others.
  private static let builtInHTML = """
    <!doctype html>
    <html lang="en">
    <head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{type}}: {{status}}</title></head>
    <body style="margin:0;padding:24px;background:#f4f5f7;color:#1f2933;font:15px/1.5 -apple-system,'Segoe UI',Roboto,sans-serif">
    <div style="max-width:640px;margin:0 auto;padding:24px;background:#ffffff;border:1px solid #e1e5ea;border-radius:8px">
    <h1 style="margin:0 0 16px;font-size:20px">{{type}} <span style="font-weight:normal">ended {{status}}</span></h1>
    <table role="presentation" style="border-collapse:collapse;width:100%">
    \(row("Task", "{{taskId}}"))
    \(row("Queue", "{{queue}}"))
    \(row("Status", "{{status}}{{#reason}} ({{reason}}){{/reason}}"))
    \(row("Attempts", "{{attempt}} of {{maxAttempts}}"))
    \(row("Created", "{{createdAt}}"))
    {{#startedAt}}\(row("Started", "{{startedAt}}"))
    {{/startedAt}}{{#finishedAt}}\(row("Finished", "{{finishedAt}}"))
    {{/finishedAt}}</table>
    {{#error}}\(block("Error: {{errorType}}", "{{error}}"))
    {{/error}}{{#result}}\(block("Result", "{{result}}"))
    {{/result}}{{#logs}}\(block("Last log lines", "{{logs}}"))
    {{/logs}}{{#metadata}}\(block("Metadata", "{{metadata}}"))
    {{/metadata}}</div>
    <p style="max-width:640px;margin:12px auto;color:#616e7c;font-size:12px">Sent by Martlet, because a notice was asked for.</p>
    </body>
    </html>

    """

  private static func row(_ name: String, _ value: String) -> String {
    """
    <tr><th style="padding:4px 16px 4px 0;text-align:left;color:#616e7c;font-weight:normal;vertical-align:top">\(name)</th>\
    <td style="padding:4px 0;width:100%;overflow-wrap:anywhere">\(value)</td></tr>
    """
  }

  private static func block(_ title: String, _ value: String) -> String {
    """
    <h2 style="margin:20px 0 8px;font-size:15px">\(title)</h2>
    <pre style="margin:0;padding:12px;background:#f4f5f7;border-radius:4px;white-space:pre-wrap;overflow-wrap:anywhere;\
    font:13px/1.45 ui-monospace,Menlo,Consolas,monospace">\(value)</pre>
    """
  }
}
