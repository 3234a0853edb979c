// SQL texts with names, and their use with parameters. The store's operations declare their statements as static lets beside
// the functions that run them; a connection prepares each once.

/// One SQL text. The name is the prepared statement's: each name stands for one text.
struct Statement: Sendable {
  let name: String
  let sql: String

  init(_ name: String, _ sql: String) {
    self.name = name
    self.sql = sql
  }
}

/// A statement with its parameters, `$1` first. A parameter has the same type at each use of the statement.
struct Query: Sendable {
  let statement: Statement
  let parameters: [PostgresValue]

  init(_ statement: Statement, _ parameters: PostgresValue...) {
    self.init(statement, parameters: parameters)
  }

  init(_ statement: Statement, parameters: [PostgresValue]) {
    self.statement = statement
    self.parameters = parameters
  }
}
