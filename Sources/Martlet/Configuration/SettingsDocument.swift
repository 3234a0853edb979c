// The table of settings as docs/configuration.md shows it; a test compares the two.

extension Setting {
  /// A Markdown table, one row per setting of this version.
  package static var documentation: String {
    let head = """
      | setting | variable | value | default | meaning |
      |---|---|---|---|---|
      """
    return ([head] + supported.map(\.documentationRow)).joined(separator: "\n") + "\n"
  }

  private var documentationRow: String {
    let names = ["`\(key)`", flag.map { "`\($0)`" }].compactMap(\.self).joined(separator: " ")
    let variables = ["`\(environmentName)`", alias.map { "`\($0)`" }].compactMap(\.self).joined(separator: " ")
    let unitAndLimits = [limits, unit].compactMap(\.self).joined(separator: " ")
    let value = unitAndLimits.isEmpty ? type : "\(type), \(unitAndLimits)"
    let standard = defaultValue.isEmpty ? "" : "`\(defaultValue)`"
    return "| \(names) | \(variables) | \(value) | \(standard) | \(summary) |"
  }
}
